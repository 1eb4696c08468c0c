"""What starting the command costs: measured in a process of its own, where nothing else is imported."""

from __future__ import annotations

import subprocess
import sys

HEAVY = "numpy pandas duckdb pyarrow onnxruntime mlflow sklearn scipy fastapi uvicorn rich"

_SCRIPT = """
import sys
from flyball.cli.main import VERBS, main
def told(*words):
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0, words
print(told(), file=sys.stderr)
print(sorted(name for name in sys.modules if name.startswith("flyball.")), file=sys.stderr)
for verb in VERBS:
    told(verb)
    print(verb, [name for name in HEAVY.split() if name in sys.modules], file=sys.stderr)
"""


def test_help_imports_only_what_it_prints() -> None:
    """`flyball --help` loads the table, and no verb's help loads what is slow to import."""
    script = _SCRIPT.replace("HEAVY", repr(HEAVY))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    _, loaded, *verbs = done.stderr.splitlines()
    assert loaded == "['flyball.cli', 'flyball.cli.main', 'flyball.errors']"
    assert [line for line in verbs if not line.endswith("[]")] == []


def test_two_versions_are_asked_without_what_compiles_a_model() -> None:
    """`flyball diff` reads bundles: scikit-learn and its converter, over a second of imports, are not loaded for it."""
    script = (
        "import sys, flyball.loop.behaviour; print([name for name in ('sklearn', 'skl2onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""What the parent's side costs those who only import it, and reading the end of a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from flyball.pipeline.logs import tail


def test_the_parents_side_imports_no_slow_library() -> None:
    """The loop and the command line load it; tables and models are matters of the steps' own processes."""
    source = (
        "import json, sys, flyball.pipeline.execute, flyball.pipeline.runs\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True).stdout
    assert not {"numpy", "pandas", "pyarrow", "polars", "sklearn", "mlflow", "scipy"} & set(json.loads(said))


def test_the_tail_of_a_log_is_its_last_lines_indented(tmp_path: Path) -> None:
    """However long the log is; bytes that are no text are shown as such."""
    log = tmp_path / "log.txt"
    log.write_bytes(b"x" * 100_000 + b"\none\ntwo \xff\nthree\n")
    assert tail(log, lines=2) == "  two \ufffd\n  three"
    assert len(tail(log)) < 17_000


def test_the_tail_of_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """A step may die before its first word."""
    assert tail(tmp_path / "log.txt") == ""

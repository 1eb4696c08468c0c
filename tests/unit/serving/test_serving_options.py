"""What a server's workers are told, out of the settings of its projects."""

from __future__ import annotations

from pathlib import Path

from flyball.project.load import load_project
from flyball.project.records import Project
from flyball.serving.options import serving_options

STEPS = "from flyball import step\n\n@step\ndef train(): ...\n"


def project(folder: Path, name: str, settings: str = "") -> Project:
    folder = folder / name
    folder.mkdir()
    (folder / "pipeline.py").write_text(STEPS)
    model = f'[model]\nname = "{name}"\ntask = "regression"\ntarget = "y"\n'
    (folder / "flyball.toml").write_text(model + settings)
    return load_project(folder)


def test_what_a_journal_keeps_is_each_models_own(tmp_path: Path) -> None:
    """Durability and share belong to the model whose project says so; limits are the widest."""
    one = project(tmp_path, "one", '[serving]\ndurability = "disk"\nloading = "lazy"\ntimeout_s = 3\n')
    two = project(tmp_path, "two", "[serving]\ntimeout_s = 5\n[journal]\nsample = 0.1\n")
    options = serving_options([one, two])
    assert (options.durable, options.lazy) == (("one",), ("one",))
    assert options.sample == {"two": 0.1}
    assert options.timeout_s == 5.0

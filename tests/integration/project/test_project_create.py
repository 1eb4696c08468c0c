"""What `flyball init` writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.errors import Mistake
from flyball.project.create import create_project, model_name
from flyball.project.load import check_project, load_steps


def test_a_new_project_is_without_findings_and_named_after_its_folder(tmp_path: Path) -> None:
    """It lies in a folder that need not be there, and runs as it stands."""
    project = create_project(tmp_path / "deep" / "Churn of 2024")
    assert project.name == project.model.name == "churn-of-2024"
    assert check_project(project.directory) == ()
    assert [step.name for step in load_steps(project)] == ["collect", "train", "validate"]
    assert project.pipeline.holdout == "validate"
    assert project.gate.refit is False
    assert sorted(path.name for path in project.directory.iterdir()) == [
        "README.md",
        "flyball.toml",
        "pipeline.py",
        "request.json",
    ]
    assert "/models/churn-of-2024/predict" in (project.directory / "README.md").read_text()


def test_a_name_may_be_given(tmp_path: Path) -> None:
    """It is the model's, whatever the folder is called."""
    assert create_project(str(tmp_path / "x"), "churn").model.name == "churn"


def test_a_name_that_no_model_may_have_writes_nothing(tmp_path: Path) -> None:
    """It is refused before the folder is made."""
    with pytest.raises(Mistake) as caught:
        create_project(tmp_path / "x", "Churn!")
    assert str(caught.value) == 'the model\'s name needs 1 to 63 of a-z, 0-9 and -, not beginning with -, got "Churn!"'
    assert not (tmp_path / "x").exists()


def test_the_request_holds_the_features_the_pipeline_trains_on(tmp_path: Path) -> None:
    """The written pipeline, run by hand in a process of its own, answers the written request."""
    project = create_project(tmp_path / "cells")
    code = (
        "import json, types, pandas, pipeline\n"
        "names = types.SimpleNamespace(target='malignant', features=None, key=None, timestamp=None)\n"
        "run = types.SimpleNamespace(refit=False, seed=7, model=names, path='.', folder='.')\n"
        "table = pipeline.collect()\n"
        "model = pipeline.train(table, run, {}, 7)\n"
        "held_out = pipeline.validate(table, run)\n"
        "inputs = pandas.DataFrame(json.load(open('request.json'))['inputs'])\n"
        "chances = model.predict_proba(inputs)[:, 1]\n"
        "print(json.dumps([len(table), len(held_out), sorted(set(table.dtypes.astype(str))), *chances.round(1)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.directory, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [569, 116, ["float32", "int64"], 1.0, 0.0]


def test_the_written_pipeline_is_formatted(tmp_path: Path) -> None:
    """Twenty lines that teach, in the style of the rest."""
    project = create_project(tmp_path / "cells")
    command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length=120", "pipeline.py"]
    done = subprocess.run(command, cwd=project.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_folder_that_holds_something_is_refused_untouched(tmp_path: Path) -> None:
    """Nothing is overwritten; hidden files (a fresh git repository) do not count."""
    (tmp_path / ".git").mkdir()
    create_project(tmp_path)
    before = (tmp_path / "flyball.toml").read_bytes()
    with pytest.raises(Mistake) as caught:
        create_project(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is not empty (README.md, flyball.toml, pipeline.py, ...); name a new or empty folder"
    )
    assert (tmp_path / "flyball.toml").read_bytes() == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The mend is another name."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(Mistake, match="taken is a file; name a new or empty folder"):
        create_project(tmp_path / "taken")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("churn", "churn"),
        ("Prix des Cafés_2", "prix-des-cafes-2"),
        ("--x--", "x"),
        ("日本", "model"),
        ("a" * 70, "a" * 63),
        (f"{'a' * 62}-b", "a" * 62),
    ],
)
def test_a_folders_name_becomes_a_models(text: str, name: str) -> None:
    """Small letters, digits and hyphens, at most 63, never at an edge."""
    assert model_name(text) == name

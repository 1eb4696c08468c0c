"""A practitioner's first own model that is not good enough, or does not train: nothing but commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.cli.shell import FLYBALL, code, environment, flyball


@pytest.mark.slow
def test_a_refused_candidate_is_a_finished_run(tmp_path: Path) -> None:
    """Exit 0 unless asked otherwise; the gate says no with 3, and its steps can be looked at and run again."""
    subprocess.run([FLYBALL, "init", "churn"], cwd=tmp_path, check=True, capture_output=True)
    project = tmp_path / "churn"
    settings = project / "flyball.toml"
    settings.write_text(settings.read_text().replace("auc >= 0.9", "auc >= 0.9999"))
    refused = flyball(project, "run")
    assert (refused["version"], refused["passed"], refused["rollout"]) == (1, False, None)
    assert code(project, "run", "--fail-on-refusal") == 3
    assert code(project, "gate", "churn@1") == 3
    assert flyball(project, "models")["models"][0]["live"] is None
    assert {item["status"] for item in flyball(project, "runs")["runs"]} == {"refused"}
    assert code(project, "logs", refused["run"][:20], "train") == 0
    assert code(project, "logs", refused["run"], "trian") == 2
    assert code(project, "resume", refused["run"]) == 1


@pytest.mark.slow
def test_a_run_that_failed_is_finished_after_its_mend(tmp_path: Path) -> None:
    """The step's own error is told with its log; `step run` tries one step, `resume` does the rest."""
    subprocess.run([FLYBALL, "init", "churn"], cwd=tmp_path, check=True, capture_output=True)
    project = tmp_path / "churn"
    pipeline = project / "pipeline.py"
    good = pipeline.read_text()
    pipeline.write_text(
        good.replace("    return model.fit(", "    raise OSError('no such bucket')\n    return model.fit(")
    )
    failed = subprocess.run(
        [FLYBALL, "run"], cwd=project, env=environment(), capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert "no such bucket" in failed.stderr
    assert "flyball has a bug" not in failed.stderr
    run = flyball(project, "runs")["runs"][0]
    assert run["status"] == "failed"
    pipeline.write_text(good)
    assert code(project, "step", "run", "train", "--run", run["id"]) == 0
    resumed = flyball(project, "resume", run["id"])
    assert (resumed["run"], resumed["passed"]) == (run["id"], True)

"""A practitioner's first own model, as the README tells it: nothing but commands and HTTP."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli.shell import FLYBALL, environment, flyball, post, until, up

pytestmark = pytest.mark.slow  # training runs, one after another


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The project that `init` writes, and what its first `run` came to: both tests begin there, in either order."""
    folder = tmp_path_factory.mktemp("first")
    subprocess.run([FLYBALL, "init", "churn"], cwd=folder, check=True, capture_output=True)
    assert flyball(folder / "churn", "check")["ok"] is True
    return folder / "churn", flyball(folder / "churn", "run")


def test_from_nothing_to_an_explained_prediction(released: tuple[Path, Any], tmp_path: Path) -> None:
    """init, run, up, a prediction, its outcome, and each question about it answered."""
    project, run = released
    assert (run["version"], run["passed"], run["rollout"]) == (1, True, "full")

    with up(project, pattern=(r"serving +(\S+)", r"dashboard +(http\S+)", r"curl -s (\S+) -d '(.*)'")) as found:
        serving, dashboard, curl = found
        answer = post(curl[1], curl[2].encode())
        assert (answer["model"], answer["version"], len(answer["ids"])) == ("churn", 1, 1)
        labels = tmp_path / "labels.jsonl"
        labels.write_text(json.dumps({"id": answer["ids"][0], "value": 1}) + "\n")
        assert flyball(project, "outcomes", "churn", str(labels))["outcomes"] == 1
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(dashboard[1], timeout=30) as page:
            assert b"churn" in page.read()
        assert flyball(project, "ui")["dashboard"] == dashboard[1]
        # The loop carries the journal into the lake while all this runs.
        until(lambda: bool(_explained(project, answer["ids"][0])))
        until(lambda: bool(_explained(project, answer["ids"][0])["outcomes"]))
        assert serving[1] in curl[1]

    told = _explained(project, answer["ids"][0])
    assert told["version"]["lineage"]["run"] == run["run"]
    assert told["verdict"]["passed"] is True
    assert flyball(project, "at", "churn", "now")["version"] == 1
    assert [item["kind"] for item in flyball(project, "why", "churn")["decisions"]] == ["gate"]
    assert [item["stage"] for item in flyball(project, "versions", "churn")["versions"]] == ["production"]


def test_two_projects_live_in_one_home(released: tuple[Path, Any]) -> None:
    """One `up` serves both, and each is asked by its own name."""
    project, _ = released
    folder, home = project.parent, str(project / ".flyball")
    subprocess.run([FLYBALL, "init", "fraud"], cwd=folder, check=True, capture_output=True)
    assert flyball(folder / "fraud", "run", "--home", home)["passed"] is True
    lines = (r"curl -s (\S+/churn/predict) -d '(.*)'", r"curl -s (\S+/fraud/predict) -d '(.*)'")
    with up(folder, "churn", "fraud", pattern=lines, FLYBALL_HOME=home) as found:
        answers = [post(line[1], line[2].encode()) for line in found]
    assert [answer["model"] for answer in answers] == ["churn", "fraud"]
    assert [item["model"] for item in flyball(folder, "models", "--home", home)["models"]] == ["churn", "fraud"]


def _explained(project: Path, prediction: str) -> Any:
    done = subprocess.run(
        [FLYBALL, "explain", prediction, "--json"], cwd=project, env=environment(), capture_output=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else {}

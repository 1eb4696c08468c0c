"""A practitioner's first own model, as the README tells it: nothing but commands and HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLYBALL = str(Path(sys.executable).with_name("flyball"))
PATIENCE_S = 120.0


def flyball(folder: Path, *words: str) -> Any:
    """Run a verb in a folder; its JSON answer."""
    done = subprocess.run(
        [FLYBALL, *words, "--json"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "MLFLOW_"))}
    return {**kept, **more}


@contextmanager
def up(folder: Path, *words: str, pattern: Sequence[str], **more: str) -> Iterator[list[re.Match[str]]]:
    """`flyball up` until the block ends: what the patterns found in its output, each in turn. It must end with 0."""
    argv = [FLYBALL, "up", *words, "--workers", "1", "--port", str(free_port()), "--ui-port", str(free_port())]
    process = subprocess.Popen(
        argv, cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said: list[str] = []
    reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        until(lambda: all(re.search(item, "".join(said)) for item in pattern) or process.poll() is not None)
        found = [re.search(item, "".join(said)) for item in pattern]
        assert all(found), "".join(said)
        yield [match for match in found if match]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, "".join(said)
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(url: str, body: bytes) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        return json.load(answer)


def test_from_nothing_to_an_explained_prediction(tmp_path: Path) -> None:
    """init, run, up, a prediction, its outcome, and each question about it answered."""
    subprocess.run([FLYBALL, "init", "churn"], cwd=tmp_path, check=True, capture_output=True)
    project = tmp_path / "churn"
    assert flyball(project, "check")["ok"] is True
    released = flyball(project, "run")
    assert (released["version"], released["passed"], released["rollout"]) == (1, True, "full")

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
    assert told["version"]["lineage"]["run"] == released["run"]
    assert told["verdict"]["passed"] is True
    assert flyball(project, "at", "churn", "2100-01-01")["version"] == 1
    assert [item["kind"] for item in flyball(project, "why", "churn")["decisions"]] == ["gate"]
    assert [item["stage"] for item in flyball(project, "versions", "churn")["versions"]] == ["production"]


def test_two_projects_live_in_one_home(tmp_path: Path) -> None:
    """One `up` serves both, and each is asked by its own name."""
    home = str(tmp_path / "home")
    for name in ("churn", "fraud"):
        subprocess.run([FLYBALL, "init", name], cwd=tmp_path, check=True, capture_output=True)
        assert flyball(tmp_path / name, "run", "--home", home)["passed"] is True
    lines = (r"curl -s (\S+/churn/predict) -d '(.*)'", r"curl -s (\S+/fraud/predict) -d '(.*)'")
    with up(tmp_path, "churn", "fraud", pattern=lines, FLYBALL_HOME=home) as found:
        answers = [post(line[1], line[2].encode()) for line in found]
    assert [answer["model"] for answer in answers] == ["churn", "fraud"]
    assert [item["model"] for item in flyball(tmp_path, "models", "--home", home)["models"]] == ["churn", "fraud"]


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


def code(folder: Path, *words: str) -> int:
    """The exit code of a verb."""
    return subprocess.run([FLYBALL, *words], cwd=folder, env=environment(), capture_output=True, check=False).returncode


def _explained(project: Path, prediction: str) -> Any:
    done = subprocess.run(
        [FLYBALL, "explain", prediction, "--json"], cwd=project, env=environment(), capture_output=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else {}

"""kill -9 of a worker, then of the demo itself in the middle of a run: the same command again ends as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flyball.demo.progress import read_progress
from flyball.demo.stage import MODEL
from flyball.engine.bundle import verify_bundle
from flyball.pipeline.attempts import steps_of
from flyball.registry.versions import versions
from flyball.store import Home
from tests.acceptance.demo.conftest import DAYS, MEASURED, Lived, begin, live, processes, until

pytestmark = pytest.mark.slow

WORKER = "flyball.serving.worker"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Two weeks with one worker killed on the way, and all of it killed while the retrain fits its model."""
    home = Home(tmp_path_factory.mktemp("killed") / "home")
    process = begin(home.path, days=DAYS)
    try:
        until(lambda: days_done(home) >= 3, "the third day", 120)
        kill_a_worker(home)
        until(lambda: fitting(home) or process.poll() is not None, "the retrain to fit its model", 120)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        until(lambda: not processes(str(home.path)), "all that the demo had started to end", 20)
        assert statuses(home) == ["released", "running"]
        assert days_done(home) == 10
        yield live(home.path)
    finally:
        process.kill()


def days_done(home: Home) -> int:
    progress = read_progress(home)
    return 0 if progress is None else progress.days_done


def kill_a_worker(home: Home) -> None:
    before = processes(WORKER, str(home.path))
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(set(processes(WORKER, str(home.path))) - set(before)) == 1, "another worker in its place", 10)


def fitting(home: Home) -> bool:
    """Whether the second run is in the middle of fitting its model."""
    sql = (
        "SELECT count(*) FROM run JOIN step ON step.run = run.id WHERE run.reason = 'schedule'"
        " AND run.status = 'running' AND step.name = 'train' AND step.status = 'running'"
    )
    with closing(sqlite3.connect(home.database, timeout=20)) as database:
        return bool(database.execute(sql).fetchone()[0])


def statuses(home: Home) -> list[str]:
    with closing(sqlite3.connect(home.database, timeout=20)) as database:
        return [row[0] for row in database.execute("SELECT status FROM run ORDER BY decided_at")]


def test_the_summary_is_that_of_an_undisturbed_life(lived: Lived, killed: Lived) -> None:
    """Every count and every AUC; only what a clock measured differs."""

    def told(demo: Lived) -> dict[str, object]:
        return {name: value for name, value in demo.summary.items() if name not in MEASURED}

    assert told(killed) == told(lived)


def test_every_flight_is_answered_once_and_every_outcome_joined(lived: Lived, killed: Lived) -> None:
    """The day that was cut off was asked anew, and the lake keeps one of each, with the same answers."""
    columns = "SELECT key, version, score, label FROM scored ORDER BY key"
    assert killed.lake(columns).equals(lived.lake(columns))
    assert killed.lake("SELECT count(*) - count(DISTINCT key) AS twice FROM predictions")["twice"].tolist() == [0]
    beside = "SELECT key, version, score FROM shadow ORDER BY key"
    assert killed.lake(beside).equals(lived.lake(beside))


def test_the_versions_are_those_of_an_undisturbed_life(lived: Lived, killed: Lived) -> None:
    """Number, label, data, files and stage; the resumed run made the model the first try would have made."""

    def made(demo: Lived) -> list[tuple[object, ...]]:
        return [
            (item.number, item.label, item.digest, item.lineage.data_digest, item.stage)
            for item in versions(demo.database(), MODEL)
        ]

    assert len(made(killed)) == 2
    assert made(killed) == made(lived)


def test_no_version_is_half_registered(killed: Lived) -> None:
    """Each row's files are whole, and MLflow holds the same versions of the same runs."""
    kept = versions(killed.database(), MODEL)
    for item in kept:
        verify_bundle(killed.home.path / item.bundle, item.digest)
    with closing(sqlite3.connect(killed.home.mlflow / "mlflow.db")) as mlflow:
        there = mlflow.execute("SELECT version, run_id FROM model_versions WHERE name = ? ORDER BY version", (MODEL,))
        assert there.fetchall() == [(item.number, item.lineage.mlflow_run) for item in kept]
        runs = mlflow.execute("SELECT run_uuid, status FROM runs").fetchall()
    assert sorted(runs) == sorted((item.lineage.mlflow_run, "FINISHED") for item in kept)


def test_the_cut_off_run_went_on_where_it_was(killed: Lived) -> None:
    """What had been done was not done again; what was cut off was tried twice; nothing is left open."""
    runs = killed.column("SELECT id FROM run ORDER BY decided_at")
    assert killed.column("SELECT status FROM run ORDER BY decided_at") == ["released", "released"]
    tried = {step.name: step.attempts for step in steps_of(killed.database(), runs[1])}
    assert (tried["collect"], tried["preprocess"], tried["train"], tried["deploy.bundle"]) == (1, 1, 2, 1)
    assert {step.status for step in steps_of(killed.database(), runs[1])} == {"done"}
    assert killed.rows("SELECT candidate, champion, status FROM rollout ORDER BY id") == [
        (1, None, "full"),
        (2, 1, "full"),
    ]


def test_history_and_decisions_are_those_of_an_undisturbed_life(lived: Lived, killed: Lived) -> None:
    """Same deployments at the same times, same decisions for the same reasons, each once."""
    history = "SELECT generation, at, live, who, why FROM deployment ORDER BY generation"
    assert killed.rows(history) == lived.rows(history)
    decided = "SELECT at, kind, subject, verdict, reason FROM decision ORDER BY at, kind, subject"
    assert killed.rows(decided) == lived.rows(decided)
    acts = "SELECT at, who, act, was, becomes, why FROM audit ORDER BY id"
    assert killed.rows(acts) == lived.rows(acts)


def test_a_demo_told_to_end_stops_what_it_started(tmp_path: Path) -> None:
    """SIGTERM in the middle: no process is left, and what was lived is kept."""
    process = begin(tmp_path / "home", days=DAYS)
    try:
        until(lambda: len(processes(WORKER, str(tmp_path))) == 2, "the workers", 60)
        process.terminate()
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    until(lambda: not processes(str(tmp_path)), "all that the demo had started to end", 20)
    assert json.loads((tmp_path / "home" / "demo" / "progress.json").read_text())["finished"] is False

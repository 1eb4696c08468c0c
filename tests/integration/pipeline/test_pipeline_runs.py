"""The book of runs, and whose a run is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyball.errors import Conflict, NotFound
from flyball.pipeline.artifact import Artifact
from flyball.pipeline.attempts import step_begun, step_done, step_failed, steps_of
from flyball.pipeline.earlier import TakenStep, made_before, taken_by
from flyball.pipeline.owner import is_alive, this_process
from flyball.pipeline.runs import RunRecord, create_run, find_run, finish_run, runs_of, take_over, unfinished
from flyball.pipeline.step import Window
from flyball.store import Database, Home, open_database

Begin = Callable[..., RunRecord]

NOW = datetime(2013, 3, 1, 6, tzinfo=UTC)


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """One that lives until it is told otherwise."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def owned(database: Database, run: RunRecord, owner: str) -> None:
    """As another process would have left it."""
    with database.write() as tx:
        tx.run("UPDATE run SET owner = :owner WHERE id = :id", owner=owner, id=run.id)


def test_a_new_run_is_found_as_it_was_written(database: Database, begin: Begin) -> None:
    """Window, parameters and times survive the database."""
    window = Window(start=NOW - timedelta(days=30), end=NOW)
    run = begin(window=window, params={"grid": [1, 2.5, None]}, why="drift in dep_delay")
    assert find_run(database, run.id) == replace(run, recorded_at=find_run(database, run.id).recorded_at)
    assert (run.status, run.owner, run.window, run.decided_at) == ("running", this_process(), window, NOW)
    assert run.params == {"grid": [1, 2.5, None]}


def test_a_run_is_found_by_the_beginning_of_its_id(database: Database, begin: Begin) -> None:
    """As people type it; what is not unique, or nothing, is refused."""
    begin(id="abc1")
    begin(id="abd2")
    begin(id="abd23")
    assert find_run(database, "abc").id == "abc1"
    assert find_run(database, "abd2").id == "abd2"
    with pytest.raises(NotFound, match=r"'ab' begins more than one run's id \(abc1, abd2\); give more of it"):
        find_run(database, "ab")
    with pytest.raises(NotFound, match="no run 'x'; `flyball runs` lists them"):
        find_run(database, "x")
    with pytest.raises(NotFound, match="no run ''"):
        find_run(database, "")


def test_an_id_is_used_once(database: Database, begin: Begin) -> None:
    """A trigger that derives its id from the day cannot start two."""
    begin(id="day-1")
    with pytest.raises(Conflict, match="run day-1 exists already; nothing was changed"):
        begin(id="day-1")


def test_a_run_begins_with_the_decision_that_wants_it_or_not_at_all(database: Database) -> None:
    """The caller's transaction is the run's."""
    values = {"project": "p", "model": "m", "reason": "drift", "why": "", "params": {}, "seed": 1}

    def decide() -> None:
        with database.write() as tx:
            create_run(tx, **values, now=NOW, window=Window(start=None, end=NOW))
            raise RuntimeError("the decision could not be written")

    with pytest.raises(RuntimeError):
        decide()
    assert runs_of(database, "m") == ()


def test_runs_are_listed_latest_decision_first_and_the_unfinished_oldest_first(
    database: Database, begin: Begin
) -> None:
    """A person looks at the newest; the loop picks up the oldest."""
    for day in (2, 1, 3):
        begin(id=f"r{day}", now=NOW + timedelta(days=day))
    begin(id="other", model="else", project="else")
    with database.write() as tx:
        finish_run(tx, "r1", "released", version=4)
    assert [run.id for run in runs_of(database, "delay")] == ["r3", "r2", "r1"]
    assert [run.id for run in runs_of(database, "delay", limit=1)] == ["r3"]
    assert [run.id for run in unfinished(database, "flights")] == ["r2", "r3"]
    assert find_run(database, "r1").version == 4
    assert find_run(database, "r1").finished_at is not None


def test_a_run_ends_once(database: Database, begin: Begin) -> None:
    """The second end changes nothing."""
    run = begin()
    with database.write() as tx:
        finish_run(tx, run.id, "refused")
    with pytest.raises(Conflict, match=r"has ended \(refused\); nothing was changed"), database.write() as tx:
        finish_run(tx, run.id, "failed", error="late")
    assert find_run(database, run.id).error is None


def test_steps_are_counted_by_attempt_and_listed_in_their_order(database: Database, begin: Begin) -> None:
    """Begun, failed, begun again, done."""
    run = begin()
    artifact = Artifact(kind="json", path="collect/2/value", sha256="0" * 64, rows=None, bytes=2)
    with database.write() as tx:
        assert step_begun(tx, run=run.id, name="collect") == 1
        step_failed(tx, run=run.id, name="collect", error="no network")
        assert step_begun(tx, run=run.id, name="train") == 1
        assert step_begun(tx, run=run.id, name="collect") == 2
        step_done(tx, run=run.id, name="collect", artifact=artifact, seconds=1.5)
    collect, train = steps_of(database, run.id)
    assert (collect.name, collect.status, collect.attempts, collect.seconds) == ("collect", "done", 2, 1.5)
    assert (collect.artifact, collect.error) == (artifact, None)
    assert (train.name, train.status, train.artifact) == ("train", "running", None)


def test_what_earlier_runs_have_made_is_found_in_either_database(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """The latest decided first, its own makings only, with what it had taken itself; nothing decided later."""
    database = open_database(Home(tmp_path / "either"), environ)
    artifact = Artifact(kind="json", path="tidy/1/value", sha256="0" * 64, rows=None, bytes=2)
    values = {"project": "p", "model": "m", "reason": "drift", "why": "", "params": {}, "seed": 1}
    made: dict[str, tuple[str | None, str | None]] = {
        "a": (None, None),
        "b": ("a", None),
        "c": (None, "a"),
        "d": (None, None),
    }
    with database.write() as tx:
        for day, (name, (collect, tidy)) in enumerate(made.items()):
            now = NOW + timedelta(days=day)
            create_run(tx, **values, id=name, now=now, window=Window(start=None, end=now))
            for step, taken in (("tidy", tidy), ("collect", collect)):
                step_begun(tx, run=name, name=step, recipe=f"{step} of {name}")
                step_done(tx, run=name, name=step, artifact=artifact, seconds=1.0, fallback_run=taken)
    run = replace(find_run(database, "d"), decided_at=NOW + timedelta(days=2))
    found = made_before(database, replace(run, id="e"), "tidy")
    assert [(item.run, item.recipe, item.beside) for item in found] == [
        ("b", "tidy of b", frozenset({"collect"})),
        ("a", "tidy of a", frozenset()),
    ]
    assert (found[1].artifact, found[1].decided_at, found[1].window) == (artifact, NOW, Window(start=None, end=NOW))
    assert made_before(database, replace(run, id="e", model="else"), "tidy") == ()
    assert taken_by(database, "c") == (TakenStep(step="tidy", run="a", decided_at=NOW),)
    database.close()


def test_an_attempt_of_its_own_ends_a_fallback(database: Database, begin: Begin) -> None:
    """A step that is begun again is no longer another run's."""
    before, run = begin(id="a"), begin(id="b")
    artifact = Artifact(kind="json", path="tidy/1/value", sha256="0" * 64, rows=None, bytes=2)
    with database.write() as tx:
        step_begun(tx, run=run.id, name="tidy")
        step_done(tx, run=run.id, name="tidy", artifact=artifact, seconds=1.0, fallback_run=before.id)
    assert [item.run for item in taken_by(database, run.id)] == ["a"]
    with database.write() as tx:
        step_begun(tx, run=run.id, name="tidy")
        step_done(tx, run=run.id, name="tidy", artifact=artifact, seconds=1.0)
    assert taken_by(database, run.id) == ()


def test_a_run_whose_owner_lives_cannot_be_taken_or_written(
    database: Database, begin: Begin, other_process: subprocess.Popen[bytes]
) -> None:
    """Two hands on one run would do its steps twice."""
    run = begin()
    owner = f"{socket.gethostname()}:{other_process.pid}"
    owned(database, run, owner)
    message = f"run {run.id} is being executed by {owner}, which lives"
    with pytest.raises(Conflict, match=message), database.write() as tx:
        take_over(tx, run.id)
    with pytest.raises(Conflict, match=message), database.write() as tx:
        step_begun(tx, run=run.id, name="collect")
    with pytest.raises(Conflict, match=message), database.write() as tx:
        finish_run(tx, run.id, "failed")
    assert steps_of(database, run.id) == ()


def test_a_run_whose_owner_died_is_taken_over(
    database: Database, begin: Begin, other_process: subprocess.Popen[bytes]
) -> None:
    """Even before anybody has noted the death: a zombie executes nothing."""
    run = begin()
    owned(database, run, f"{socket.gethostname()}:{other_process.pid}:1")
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    with database.write() as tx:
        assert take_over(tx, run.id).owner == this_process()


def test_a_later_process_with_the_same_number_is_not_the_owner(begin: Begin, database: Database) -> None:
    """Numbers are used again, above all in containers; start times are not."""
    run = begin()
    owned(database, run, f"{socket.gethostname()}:{os.getpid()}:1")
    with database.write() as tx:
        assert take_over(tx, run.id).owner == this_process()


def test_a_process_on_another_host_counts_as_alive() -> None:
    """Nobody can tell from here, so nobody takes its run."""
    assert is_alive("elsewhere:1:1")
    assert is_alive(this_process())


def test_a_failed_run_is_opened_again_and_one_that_ended_well_is_not(database: Database, begin: Begin) -> None:
    """`flyball resume` after mending the pipeline; a released run stays as it is."""
    failed, released = begin(id="f"), begin(id="r")
    with database.write() as tx:
        finish_run(tx, failed.id, "failed", error="step 'train' failed")
        finish_run(tx, released.id, "released", version=1)
    with database.write() as tx:
        again = take_over(tx, failed.id)
    assert (again.status, again.error, again.finished_at) == ("running", None, None)
    with pytest.raises(Conflict, match=r"run r has ended \(released\); start a new one"), database.write() as tx:
        take_over(tx, released.id)

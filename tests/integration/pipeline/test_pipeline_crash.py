"""kill -9 at every transition: whoever resumes finishes the run, and what had ended well is never done again."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.pipeline.artifact import save
from flyball.pipeline.attempts import step_begun, step_done, steps_of
from flyball.pipeline.runs import RunRecord, find_run
from flyball.pipeline.walk import TRANSITIONS
from flyball.store import Database, Home

PIPELINE = """
from pathlib import Path
from flyball import step

@step
def collect():
    return [1, 2]

@step
def left(collect):
    return collect[0]

@step(retries=1, backoff_s=0)
def right(collect):
    # Fails once, however often it is killed.
    if not Path("tried").exists():
        Path("tried").touch()
        raise OSError("not yet")
    return collect[1]

@step(on_failure="use_last_good")
def weather():
    # Worked in the run before, r0.
    raise OSError("no answer")

@step
def train(left, right, weather):
    return left + right + weather
"""

#: executes a run, and kills itself at the n-th passing of a transition; with "hold", waits there to be told.
PROCESS = """
import os, sys
from pathlib import Path
from flyball.pipeline.execute import context_of, execute
from flyball.pipeline.graph import calls_of
from flyball.pipeline.runs import find_run, finish_run, take_over
from flyball.pipeline.step import ModelNames
from flyball.pipeline.workers import StepWorkers
from flyball.errors import Conflict
from flyball.store import Home, open_database

directory, home, run, name, count, hold = sys.argv[1:]
left = int(count)

def checkpoint(passed):
    global left
    if passed == name:
        left -= 1
        if left == 0:
            if hold == "hold":
                print("held", flush=True)
                input()
            else:
                os.kill(os.getpid(), 9)

home = Home(Path(home))
database = open_database(home)
names = ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary")
with StepWorkers(Path(directory), "pipeline") as workers:
    record = find_run(database, run)
    context = context_of(record, home, model=names)
    try:
        execute(database, home, workers, record, calls_of(workers.describe()), context=context, checkpoint=checkpoint)
    except Conflict as conflict:
        sys.exit(f"Conflict: {conflict}")
    with database.write() as tx:
        finish_run(tx, run, "released")
"""

STEPS = ("collect", "left", "right", "weather", "train")


@pytest.fixture
def process(
    tmp_path: Path, home: Home, database: Database, begin: Callable[..., RunRecord]
) -> Callable[..., subprocess.Popen[bytes]]:
    """Start a process that executes the run `r1`, which nobody owns yet; `r0` has made `weather` before."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pipeline.py").write_text(PIPELINE)
    before, run = begin(id="r0"), begin(id="r1")
    artifact = save(10, home.runs / "r0" / "weather" / "1" / "value", root=home.runs / "r0")
    with database.write() as tx:
        step_begun(tx, run=before.id, name="weather")
        step_done(tx, run=before.id, name="weather", artifact=artifact, seconds=0.1)

    def started(name: str = "", count: int = 0, hold: str = "") -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(directory), str(home.path), run.id, name, str(count), hold],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return started


@pytest.fixture
def unowned(process: object, database: Database) -> None:
    """The run was written by a process that has died."""
    with database.write() as tx:
        tx.run("UPDATE run SET owner = :owner", owner=dead_owner())


def dead_owner() -> str:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return f"{socket.gethostname()}:{process.pid}:1"


def well_ended(home: Home, step: str) -> int:
    """How many attempts at the step have left a result."""
    results = (json.loads(path.read_text()) for path in (home.runs / "r1" / step).glob("*/result.json"))
    return sum(result["artifact"] is not None for result in results)


def none_left(word: str) -> bool:
    """Whether no process mentions the word on its command line."""
    listed = subprocess.run(["ps", "-axww", "-o", "command="], capture_output=True, text=True, check=True).stdout
    return word not in listed


@pytest.mark.usefixtures("unowned")
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_run_killed_again_and_again_at_a_transition_is_finished_by_the_next(
    transition: str, process: Callable[..., subprocess.Popen[bytes]], home: Home, database: Database, tmp_path: Path
) -> None:
    """Killed at its first passing, then the second, then the third; then left alone."""
    kills = [(transition, 1), (transition, 2), (transition, 3)]
    if transition == "step-kept":
        kills = [("step-done", 2), *kills]
    for n, (name, count) in enumerate(kills):
        status = ended(process(name, count))
        assert status in ((-signal.SIGKILL,) if n == 0 else (-signal.SIGKILL, 0)), name
        if status == 0:
            break
    else:
        assert ended(process()) == 0
    assert find_run(database, "r1").status == "released"
    steps = {step.name: step for step in steps_of(database, "r1")}
    assert {name: step.status for name, step in steps.items()} == dict.fromkeys(STEPS, "done")
    assert {name: step.fallback_run for name, step in steps.items()} == {**dict.fromkeys(STEPS), "weather": "r0"}
    assert {step: well_ended(home, step) for step in STEPS} == dict.fromkeys(STEPS, 1)
    assert json.loads(next((home.runs / "r1" / "train").glob("*/value/value.json")).read_text()) == 13
    wait_until(lambda: none_left(str(tmp_path)))


@pytest.mark.usefixtures("unowned")
def test_the_second_process_is_refused_while_the_first_executes_the_run(
    process: Callable[..., subprocess.Popen[bytes]], home: Home, database: Database
) -> None:
    """It says who has the run, and changes nothing; the first goes on as if nothing had been."""
    with process("step-started", 1, "hold") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with process() as second:
            _, said = second.communicate()
        assert second.returncode == 1
        assert said.decode().startswith(f"Conflict: run r1 is being executed by {find_run(database, 'r1').owner}")
        first.communicate(b"go on\n")
    assert first.returncode == 0
    assert well_ended(home, "train") == 1


def ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit status. What it said is shown by pytest, should the test fail."""
    with process:
        _, said = process.communicate()
    sys.stderr.write(said.decode())
    return process.returncode


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)

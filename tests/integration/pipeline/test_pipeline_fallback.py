"""A step that fails after its retries, and the last good result that an earlier run made of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from flyball.errors import StepFailed
from flyball.pipeline.artifact import Artifact, load
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.earlier import TakenStep, taken_by
from flyball.pipeline.execute import context_of, execute
from flyball.pipeline.graph import calls_of
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import ModelNames, Window
from flyball.pipeline.workers import StepWorkers
from flyball.store import Database, Home
from tests.integration.pipeline.conftest import NOW

NAMES = ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary")
DAY = timedelta(days=1)

#: `collect` gives what the file `value` holds, and fails while there is none; `tidy` fails while `untidy` is there.
PIPELINE = """
from pathlib import Path

@step(on_failure="use_last_good")
def collect():
    return int(Path("value").read_text())

@step(retries=1, backoff_s=0, on_failure="use_last_good")
def tidy(collect, params):
    assert not Path("untidy").exists(), "untidy"
    return [collect, params["depth"]]

@step
def train(tidy):
    return tidy[0] + tidy[1]
"""

Live = Callable[..., tuple[RunRecord, dict[str, Artifact]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's."""
    return tmp_path / "project"


@pytest.fixture
def workers(project: Callable[[str], StepWorkers]) -> StepWorkers:
    return project(PIPELINE)


@pytest.fixture
def live(database: Database, home: Home, begin: Callable[..., RunRecord], workers: StepWorkers, folder: Path) -> Live:
    """A whole run, decided on the given day of March, that finds `value` (None: nothing) and other parameters or times."""

    def lived(day: int, value: int | None, **values: object) -> tuple[RunRecord, dict[str, Artifact]]:
        (folder / "value").unlink(missing_ok=True)
        if value is not None:
            (folder / "value").write_text(str(value))
        now = NOW + day * DAY
        run = begin(**{"id": f"r{day}", "now": now, "window": Window(start=None, end=now), **values})
        context = context_of(run, home, model=NAMES)
        return run, execute(database, home, workers, run, calls_of(workers.describe()), context=context)

    return lived


def test_the_newest_result_stands_in_and_is_the_runs_own(
    live: Live, home: Home, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two runs before, the later; copied; recorded, logged, and what follows is made of it."""
    live(1, 100)
    _, second = live(2, 200)
    with caplog.at_level(logging.WARNING, "flyball.pipeline"):
        run, results = live(3, None)
    assert load(results["train"], home.runs / run.id) == 203
    collect = steps_of(database, run.id)[0]
    assert (collect.name, collect.status, collect.attempts, collect.fallback_run) == ("collect", "done", 2, "r2")
    assert (collect.artifact, collect.error) == (results["collect"], None)
    assert results["collect"].path == "collect/2/value"
    assert results["collect"].sha256 == second["collect"].sha256
    ours, theirs = (home.runs / where / results["collect"].path for where in ("r3", "r2"))
    assert not theirs.exists()
    assert (ours / "value.json").stat().st_nlink == 1
    assert taken_by(database, run.id) == (TakenStep(step="collect", run="r2", decided_at=NOW + 2 * DAY),)
    assert taken_by(database, "r2") == ()
    said = "its last good result stands in, from run r2, decided at 2013-03-03T06:00:00.000000Z"
    assert [record.getMessage() for record in caplog.records] == [f"run r3: step collect failed; {said}"]
    assert (home.runs / "r3" / "collect" / "log.txt").read_text().endswith(f"--- collect, attempt 2: {said}\n")


def test_retries_come_first(live: Live, folder: Path, database: Database) -> None:
    """Two attempts of its own, then the one that is taken; the step before it was made as ever."""
    live(1, 100)
    (folder / "untidy").touch()
    run, _ = live(2, 200)
    steps = {step.name: step for step in steps_of(database, run.id)}
    assert (steps["tidy"].attempts, steps["tidy"].fallback_run) == (3, "r1")
    assert (steps["collect"].attempts, steps["collect"].fallback_run) == (1, None)


def test_a_chain_of_fallbacks_names_the_run_that_made_it(live: Live, database: Database) -> None:
    """The third run takes it from the first, not from the second, which had taken it too."""
    live(1, 100)
    live(2, None)
    run, _ = live(3, None)
    assert [item.run for item in taken_by(database, run.id)] == ["r1"]


def test_what_was_made_of_a_fallback_is_older_than_its_run_says(live: Live, folder: Path, database: Database) -> None:
    """`tidy` of the second run is made of the first one's `collect`: the first one's `tidy` stands in."""
    live(1, 100)
    live(2, None)
    (folder / "untidy").touch()
    run, _ = live(3, 300)
    assert [(item.step, item.run) for item in taken_by(database, run.id)] == [("tidy", "r1")]


def test_with_nothing_to_take_the_run_fails_and_says_so(live: Live, database: Database, folder: Path) -> None:
    """Nobody has made it; then: only by another parameter; a step that takes no parameters does not mind."""
    with pytest.raises(StepFailed) as caught:
        live(1, None)
    (line, *_) = str(caught.value).splitlines()
    assert line.startswith("step 'collect' of run r1 failed: FileNotFoundError: ")
    assert line.endswith('; on_failure is "use_last_good", but no result may stand in (no earlier run has made it)')
    assert [(step.name, step.status, step.attempts) for step in steps_of(database, "r1")] == [("collect", "failed", 1)]

    live(2, 200)
    (folder / "untidy").touch()
    with pytest.raises(StepFailed, match=r"may stand in \(1 earlier: 1 made by another recipe\)"):
        live(3, None, params={"depth": 4})
    assert [(item.step, item.run) for item in taken_by(database, "r3")] == [("collect", "r2")]


def test_another_text_of_the_step_is_another_recipe(live: Live, folder: Path, database: Database) -> None:
    """What the step is made of counts, what takes it does not."""
    live(1, 100)
    written = (folder / "pipeline.py").read_text()
    (folder / "pipeline.py").write_text(written.replace("tidy[0] + tidy[1]", "tidy[0] * tidy[1]"))
    run, _ = live(2, None)
    assert [item.run for item in taken_by(database, run.id)] == ["r1"]
    (folder / "pipeline.py").write_text(written.replace("return int(", "return 2 * int("))
    with pytest.raises(StepFailed, match=r"step 'collect' .* \(1 earlier: 1 made by another recipe\)"):
        live(3, None)


def test_a_damaged_result_is_passed_over(live: Live, home: Home, database: Database) -> None:
    """The one before it stands in; with both gone none does."""
    live(1, 100)
    live(2, 200)
    (home.runs / "r2" / "collect" / "1" / "value" / "value.json").write_text("201")
    run, _ = live(3, None)
    assert [item.run for item in taken_by(database, run.id)] == ["r1"]
    (home.runs / "r1" / "collect" / "1" / "value" / "value.json").unlink()
    with pytest.raises(StepFailed, match=r"\(2 earlier: 2 damaged or gone from disk\)"):
        live(4, None)


def test_nothing_that_was_known_later_comes_in(live: Live, database: Database) -> None:
    """Neither from a run decided later, nor from one whose window goes on longer, nor from another model's."""
    live(5, 500)
    live(1, 100, model="else", project="else", id="else")
    with pytest.raises(StepFailed, match="no earlier run has made it"):
        live(4, None)
    with pytest.raises(StepFailed, match=r"\(1 earlier: 1 of rows outside this run's window\)"):
        live(6, None, window=Window(start=None, end=NOW))
    run, _ = live(7, None)
    assert [item.run for item in taken_by(database, run.id)] == ["r5"]


def test_a_run_that_is_resumed_keeps_its_fallback(
    live: Live, workers: StepWorkers, home: Home, database: Database, folder: Path
) -> None:
    """Also when the step could be made again by now: the run goes on with what it has."""
    live(1, 100)
    run, first = live(2, None)
    (folder / "value").write_text("200")
    context = context_of(run, home, model=NAMES)
    assert execute(database, home, workers, run, calls_of(workers.describe()), context=context) == first
    assert [item.run for item in taken_by(database, run.id)] == ["r1"]

"""A run from its first step to its last: order, retries, failures, and what is not done again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flyball.errors import Mistake, ProjectError, StepFailed
from flyball.pipeline.artifact import Artifact, load
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.execute import context_of, execute
from flyball.pipeline.graph import StepCall, calls_of
from flyball.pipeline.runs import RunRecord, find_run, finish_run
from flyball.pipeline.step import ModelNames
from flyball.pipeline.walk import TRANSITIONS
from flyball.pipeline.workers import StepWorkers
from flyball.project.steps import StepDeclaration
from flyball.store import Database, Home

Run = Callable[..., dict[str, Artifact]]

NAMES = ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary")

#: each step notes its name in `calls` when it ends.
NOTES = """
import os, pathlib, time
def note(name):
    with open("calls", "a") as file:
        file.write(name + "\\n")
"""


@pytest.fixture
def run_steps(database: Database, home: Home) -> Run:
    """Execute a run with the project's declared steps, or those given."""

    def executed(workers: StepWorkers, run: RunRecord, calls: tuple[StepCall, ...] | None = None, **more: object):
        steps = calls_of(workers.describe()) if calls is None else calls
        context = context_of(run, home, model=NAMES)
        return execute(database, home, workers, run, steps, context=context, **more)

    return executed


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[str]]:
    """The names steps have noted so far."""
    file = tmp_path / "project" / "calls"
    return lambda: file.read_text().split() if file.exists() else []


def test_results_flow_along_the_parameters(project, begin, run_steps: Run, home: Home, database: Database) -> None:
    """(2 + 3) * 10, whatever the order of writing."""
    workers = project(
        "@step\ndef product(total, params):\n    return total * params['depth']\n"
        "@step\ndef total(left, right):\n    return left + right\n"
        "@step\ndef left():\n    return 2\n@step\ndef right():\n    return 3\n"
    )
    run = begin(params={"depth": 10})
    results = run_steps(workers, run)
    assert {name: load(artifact, home.runs / run.id) for name, artifact in results.items()} == {
        "left": 2,
        "right": 3,
        "total": 5,
        "product": 50,
    }
    steps = steps_of(database, run.id)
    assert [(step.name, step.status, step.attempts) for step in steps] == [
        ("left", "done", 1),
        ("right", "done", 1),
        ("total", "done", 1),
        ("product", "done", 1),
    ]
    assert {step.name: step.artifact for step in steps} == results
    assert find_run(database, run.id).status == "running"


def test_after_orders_steps_that_pass_nothing_on(project, begin, run_steps: Run, calls) -> None:
    """`tidy` takes no result, and still comes last."""
    workers = project(NOTES + "@step(after=['b'])\ndef tidy():\n    note('tidy')\n@step\ndef b():\n    note('b')\n")
    run_steps(workers, begin())
    assert calls() == ["b", "tidy"]


def test_calls_follow_the_declarations() -> None:
    """Every option reaches the call."""
    declared = StepDeclaration(
        name="train",
        needs=("tidy",),
        given=("seed",),
        after=("check",),
        retries=2,
        backoff_s=0.5,
        timeout_s=9.0,
        on_failure="use_last_good",
        line=4,
    )
    assert calls_of([declared]) == (
        StepCall(
            name="train",
            target="train",
            inputs={"tidy": "tidy"},
            given=("seed",),
            after=("check",),
            retries=2,
            backoff_s=0.5,
            timeout_s=9.0,
            on_failure="use_last_good",
        ),
    )


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ((StepCall(name="a", target="a", inputs={"x": "b"}),), "step 'a' needs b; the run's steps are a"),
        (
            (StepCall(name="a", target="a", inputs={"x": "b"}), StepCall(name="b", target="b", after=("a",))),
            r"steps wait for each other: (a -> b -> a|b -> a -> b)",
        ),
    ],
)
def test_steps_that_can_never_run_are_refused_before_anything_begins(
    calls, message: str, project, begin, run_steps: Run, database: Database
) -> None:
    """Nothing is recorded."""
    run = begin()
    with pytest.raises(Mistake, match=message):
        run_steps(project(""), run, calls)
    assert steps_of(database, run.id) == ()


def test_a_step_that_fails_twice_works_at_the_third_attempt(
    project, begin, run_steps: Run, calls, database: Database
) -> None:
    """Backoff 0.02 s, then 0.04 s; each attempt in a folder of its own, all in one log."""
    workers = project(
        NOTES + "@step(retries=2, backoff_s=0.02)\ndef moody(run):\n    note('moody')\n"
        "    (run.folder / 'left-behind').touch(exist_ok=False)\n"
        "    tries = len(open('calls').read().split())\n    if tries < 3:\n"
        "        raise OSError(f'try {tries}')\n    return tries\n"
    )
    run = begin()
    result = run_steps(workers, run)["moody"]
    assert result.path == "moody/3/value"
    assert calls() == ["moody"] * 3
    assert [(step.status, step.attempts, step.error) for step in steps_of(database, run.id)] == [("done", 3, None)]


def test_a_step_out_of_retries_fails_the_run_with_its_last_words(
    project, begin, run_steps: Run, home: Home, database: Database, calls
) -> None:
    """Error, place, number of attempts and the end of the log, all in one message; nothing after it runs."""
    workers = project(
        NOTES + "@step(retries=1, backoff_s=0)\ndef broken():\n    print('reading')\n    raise ValueError('no rows')\n"
        "@step\ndef after(broken):\n    note('after')\n"
    )
    run = begin()
    with pytest.raises(StepFailed) as caught:
        run_steps(workers, run)
    log = home.runs / run.id / "broken" / "log.txt"
    lines = str(caught.value).splitlines()
    assert lines[:2] == [
        f"step 'broken' of run {run.id} failed after 2 attempts: ValueError: no rows (pipeline.py:10)",
        f"{log} ends with",
    ]
    assert "  --- broken, attempt 2" in lines
    assert lines[-1] == "  ValueError: no rows"
    assert (caught.value.run, caught.value.step) == (run.id, "broken")
    step = steps_of(database, run.id)[0]
    assert (step.status, step.attempts, step.error) == ("failed", 2, "ValueError: no rows (pipeline.py:10)")
    assert calls() == []


def test_a_timeout_counts_as_a_failure_and_is_retried(project, begin, run_steps: Run) -> None:
    """The second attempt is quick."""
    workers = project(
        NOTES + "@step(retries=1, backoff_s=0, timeout_s=0.5)\ndef slow(run):\n"
        "    if run.folder.name == '1':\n        time.sleep(600)\n    return run.folder.name\n"
    )
    assert run_steps(workers, begin())["slow"].path == "slow/2/value"


def test_what_runs_beside_a_failure_is_finished_and_kept(
    project, begin, run_steps: Run, calls, database: Database
) -> None:
    """The failure waits for it; a resumed run need not do it again."""
    workers = project(
        NOTES + "@step\ndef fails():\n    raise ValueError('no')\n"
        "@step\ndef works():\n    time.sleep(0.2)\n    note('works')\n@step\ndef later(works):\n    note('later')\n"
    )
    run = begin()
    with pytest.raises(StepFailed, match="step 'fails'"):
        run_steps(workers, run)
    assert calls() == ["works"]
    assert {step.name: step.status for step in steps_of(database, run.id)} == {"fails": "failed", "works": "done"}


def test_a_step_waiting_for_its_retry_leaves_its_place_to_others(project, begin, run_steps: Run, calls) -> None:
    """With one place only, `other` ends before the second attempt at `moody` begins."""
    workers = project(
        NOTES + "@step(retries=1, backoff_s=0.5)\ndef moody(run):\n    note('moody')\n"
        "    if run.folder.name == '1':\n        raise ValueError\n@step\ndef other():\n    note('other')\n"
    )
    run_steps(workers, begin(), parallel=1)
    assert calls() == ["moody", "other", "moody"]


def test_what_took_longest_last_time_goes_first(project, begin, run_steps: Run, calls, database: Database) -> None:
    """With one place: the first run knows nothing and goes as written; one that has not ended tells nobody anything."""
    workers = project(NOTES + "@step\ndef quick():\n    note('quick')\n@step\ndef slow():\n    note('slow')\n")
    first = begin()
    for run in (first, begin()):
        run_steps(workers, run, parallel=1)
    with database.write() as tx:
        tx.run("UPDATE step SET seconds = CASE name WHEN 'slow' THEN 60.0 ELSE 1.0 END WHERE run = :run", run=first.id)
        finish_run(tx, first.id, "released")
    run_steps(workers, begin(), parallel=1)
    assert calls() == ["quick", "slow", "quick", "slow", "slow", "quick"]


@pytest.fixture
def chain(project) -> StepWorkers:
    """collect -> train -> check, where `check` fails while the file `broken` is there, `collect` while `away` is."""
    return project(
        NOTES + "@step(on_failure='use_last_good')\ndef collect():\n    note('collect')\n"
        "    assert not pathlib.Path('away').exists()\n    return 1\n"
        "@step\ndef train(collect):\n    note('train')\n    return collect + 1\n"
        "@step\ndef check(train):\n    note('check')\n    assert not pathlib.Path('broken').exists()\n    return train + 1\n"
    )


def test_a_failed_run_goes_on_where_it_failed(
    chain: StepWorkers, begin, run_steps: Run, calls, tmp_path: Path, home: Home
) -> None:
    """What is done is not done again."""
    run = begin()
    (tmp_path / "project" / "broken").touch()
    with pytest.raises(StepFailed):
        run_steps(chain, run)
    (tmp_path / "project" / "broken").unlink()
    results = run_steps(chain, run)
    assert load(results["check"], home.runs / run.id) == 3
    assert calls() == ["collect", "train", "check", "check"]


def test_what_is_kept_is_said(chain: StepWorkers, begin, run_steps: Run, caplog: pytest.LogCaptureFixture) -> None:
    """One line per step that was not run again."""
    run = begin()
    run_steps(chain, run)
    with caplog.at_level(logging.INFO, "flyball.pipeline"):
        run_steps(chain, run)
    assert [record.getMessage() for record in caplog.records] == [
        f"run {run.id}: step {name} is done, not run again" for name in ("collect", "train", "check")
    ]


def test_a_damaged_result_is_made_again_and_what_follows_only_if_it_differs(
    chain: StepWorkers, begin, run_steps: Run, calls, home: Home
) -> None:
    """`collect` gives the same bytes again, so `train` and `check` stand."""
    run = begin()
    first = run_steps(chain, run)
    (home.runs / run.id / first["collect"].path / "value.json").write_bytes(b"2")
    again = run_steps(chain, run)
    assert calls() == ["collect", "train", "check", "collect"]
    assert (first["collect"].path, again["collect"].path) == ("collect/1/value", "collect/2/value")
    assert again["check"] == first["check"]


def test_a_step_called_with_something_else_runs_again(project, begin, run_steps: Run, home: Home) -> None:
    """Constants are part of the call."""
    workers, run = project(""), begin()
    call = StepCall(name="own", target="os.path:basename", constants={"p": "/a/b"})
    run_steps(workers, run, (call,))
    again = run_steps(workers, run, (replace(call, constants={"p": "/a/c"}),))
    assert load(again["own"], home.runs / run.id) == "c"


def test_a_module_that_cannot_be_imported_fails_before_any_step_begins(
    project, begin, run_steps: Run, database: Database
) -> None:
    """The finding names file and line; the run can be resumed."""
    run = begin()
    with pytest.raises(ProjectError, match=r"pipeline\.py:2: cannot be imported: NameError"):
        run_steps(project("nothing\n"), run, (StepCall(name="a", target="a"),))
    assert steps_of(database, run.id) == ()


def test_an_interrupt_leaves_no_process_behind(project, begin, run_steps: Run, calls) -> None:
    """Ctrl-C between two events: the fixture checks that everything is gone; the run can go on."""
    workers, run = (
        project(NOTES + "@step\ndef slow(run):\n    if run.folder.name == '1':\n        time.sleep(600)\n"),
        begin(),
    )

    def interrupted(name: str) -> None:
        if name == "step-started":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_steps(workers, run, checkpoint=interrupted)
    assert run_steps(workers, run)["slow"].path == "slow/2/value"


def test_every_transition_is_passed_and_every_one_passed_is_listed(
    chain: StepWorkers, begin, run_steps: Run, tmp_path: Path
) -> None:
    """A new transition without a kill point cannot slip in."""
    run, passed = begin(), set()
    (tmp_path / "project" / "broken").touch()
    with pytest.raises(StepFailed):
        run_steps(chain, run, checkpoint=passed.add)
    (tmp_path / "project" / "broken").unlink()
    run_steps(chain, run, checkpoint=passed.add)
    (tmp_path / "project" / "away").touch()
    run_steps(chain, begin(), checkpoint=passed.add)
    assert passed == set(TRANSITIONS)

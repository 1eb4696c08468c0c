"""Which result may stand in for another, decided without looking at anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.earlier import GoodStep
from flyball.pipeline.fallback import obstacle, reaching, recipes
from flyball.pipeline.graph import StepCall
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import ModelNames, RunContext, Window

NOW = datetime(2013, 3, 8, tzinfo=UTC)
WEEK = timedelta(days=7)

RUN = RunRecord(
    id="r2",
    project="late",
    model="late",
    reason="manual",
    why="a test",
    decided_at=NOW,
    window=Window(start=NOW - 4 * WEEK, end=NOW),
    params={},
    seed=7,
    status="running",
    owner="here:1",
    recorded_at=NOW,
    finished_at=None,
    version=None,
    error=None,
    requested_by="flyball",
)

GOOD = GoodStep(
    step="tidy",
    run="r1",
    decided_at=NOW - WEEK,
    window=Window(start=NOW - 4 * WEEK, end=NOW - WEEK),
    recipe="a",
    artifact=Artifact(kind="json", path="tidy/1/value", sha256="0" * 64, rows=None, bytes=2),
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"decided_at": NOW}, None),
        ({"decided_at": NOW + timedelta(microseconds=1)}, "decided later"),
        ({"window": RUN.window}, None),
        ({"window": Window(start=None, end=NOW)}, "of rows outside this run's window"),
        ({"window": Window(start=NOW - 5 * WEEK, end=NOW - WEEK)}, "of rows outside this run's window"),
        ({"window": Window(start=NOW - WEEK, end=NOW + WEEK)}, "of rows outside this run's window"),
        ({"recipe": "b"}, "made by another recipe"),
        ({"recipe": None}, None),
        ({"beside": frozenset({"collect"})}, "made of a fallback itself"),
        ({"beside": frozenset({"weather"})}, None),
    ],
)
def test_a_result_stands_in_if_it_knows_no_more_and_was_made_alike(changes: dict[str, Any], found: str | None) -> None:
    """Decision time, window, recipe, and what it was made of; a recipe nobody noted is no obstacle."""
    made_of = frozenset({"tidy", "collect"})
    assert obstacle(replace(GOOD, **changes), RUN, recipe="a", made_of=made_of) == found


CALLS = {
    call.name: call
    for call in (
        StepCall(name="collect", target="collect", given=("window",)),
        StepCall(name="tidy", target="tidy", inputs={"rows": "collect"}, given=("params",)),
        StepCall(name="wide", target="wide", inputs={"tidy": "tidy"}),
        StepCall(name="deploy.bundle", target="flyball.loop.steps:bundle", inputs={"table": "wide"}),
    )
}

CONTEXT = RunContext(
    id="r",
    path=Path("r"),
    folder=Path("r"),
    model=ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary"),
    refit=False,
    now=NOW,
    window=RUN.window,
    params={"depth": 3},
    seed=7,
)

SOURCES = {
    "pipeline.py": b"@step\ndef collect(): ...\n@step\ndef tidy(): ...\n@step\ndef wide(): ...\n",
    "help.py": b"1",
}


def told(
    calls: Mapping[str, StepCall] = CALLS, context: RunContext = CONTEXT, sources: Mapping[str, bytes] = SOURCES
) -> dict[str, str]:
    return recipes(calls, context, sources=sources, module_file="pipeline.py")


def changed(after: Mapping[str, str]) -> set[str]:
    return {name for name, digest in told().items() if after[name] != digest}


def test_a_recipe_changes_with_what_the_step_is_made_of() -> None:
    """Its own text and that of the steps before it, files beside the module, parameters where somebody takes them, the seed."""
    assert set(told()) == {"collect", "tidy", "wide"}
    text = SOURCES["pipeline.py"]
    assert changed(told(sources={**SOURCES, "pipeline.py": text.replace(b"tidy()", b"tidy(x)")})) == {"tidy", "wide"}
    assert changed(told(sources={**SOURCES, "help.py": b"2"})) == {"collect", "tidy", "wide"}
    assert changed(told(context=replace(CONTEXT, params={"depth": 4}))) == {"tidy", "wide"}
    assert changed(told(context=replace(CONTEXT, seed=8))) == {"collect", "tidy", "wide"}
    other = replace(CONTEXT, model=replace(CONTEXT.model, target="z"))
    assert changed(told(context=other)) == set()
    patient = {**CALLS, "tidy": replace(CALLS["tidy"], retries=5, on_failure="use_last_good")}
    assert changed(told(calls=patient)) == set()


def test_later_decisions_and_windows_are_no_part_of_a_recipe() -> None:
    """Else no earlier run's result could ever stand in."""
    later = replace(CONTEXT, id="r9", now=NOW + WEEK, window=Window(start=None, end=NOW + WEEK))
    assert told(context=later) == told()


def test_what_reaches_a_step_is_followed_to_the_first() -> None:
    """Itself included."""
    assert reaching(CALLS, "wide") == {"collect", "tidy", "wide"}

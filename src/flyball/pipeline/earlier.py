"""What earlier runs of a model say for a run: results that may stand in for its own, and how long its steps take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import orjson

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.runs import RunRecord, window_of
from flyball.pipeline.step import Window
from flyball.store.clock import moment, stamp
from flyball.store.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodStep:
    """A result that a run made of a step, or took from another: for who asks what may stand in for what."""

    step: str
    #: the run that made it, and what that knew.
    run: str
    decided_at: datetime
    window: Window
    recipe: str | None
    artifact: Artifact
    #: steps of that run whose results had been taken from yet earlier ones.
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenStep:
    """A step of a run for which an earlier run's result stands in."""

    step: str
    #: the run that made it.
    run: str
    decided_at: datetime


def made_before(database: Database, run: RunRecord, name: str) -> tuple[GoodStep, ...]:
    """What earlier runs of the same project and model made of a step, the latest decided first.

    Earlier by decision time: what was decided after `run` may know what `run` must not.
    """
    values = {"project": run.project, "model": run.model, "at": stamp(run.decided_at), "run": run.id}
    earlier = (
        "FROM step JOIN run ON run.id = step.run WHERE run.project = :project AND run.model = :model"
        " AND run.decided_at <= :at AND run.id <> :run"
    )
    taken: dict[str, set[str]] = {}
    for row in database.all(f"SELECT step.run, step.name {earlier} AND step.fallback_run IS NOT NULL", **values):
        taken.setdefault(row["run"], set()).add(row["name"])
    rows = database.all(
        "SELECT step.run, step.recipe, step.artifact, run.decided_at, run.window_start, run.window_end"
        f" {earlier} AND step.name = :name AND step.status = 'done' AND step.fallback_run IS NULL"
        " ORDER BY run.decided_at DESC, run.id DESC",
        **values,
        name=name,
    )
    return tuple(
        GoodStep(
            step=name,
            run=row["run"],
            decided_at=moment(row["decided_at"]),
            window=window_of(row),
            recipe=row["recipe"],
            artifact=Artifact.from_json(orjson.loads(row["artifact"])),
            beside=frozenset(taken.get(row["run"], ())),
        )
        for row in rows
    )


def taken_by(database: Database | Transaction, run: str) -> tuple[TakenStep, ...]:
    """The steps of a run for which earlier runs' results stand in, in their order."""
    rows = database.all(
        "SELECT step.name, step.fallback_run, run.decided_at FROM step JOIN run ON run.id = step.fallback_run"
        " WHERE step.run = :run AND step.status = 'done' ORDER BY step.rowid",
        run=run,
    )
    return tuple(
        TakenStep(step=row["name"], run=row["fallback_run"], decided_at=moment(row["decided_at"])) for row in rows
    )


def last_seconds(database: Database, run: RunRecord) -> dict[str, float]:
    """Step -> seconds it took in the last run of the same project and model that has ended."""
    rows = database.all(
        "SELECT name, seconds FROM step WHERE seconds IS NOT NULL AND run = (SELECT id FROM run WHERE project = :project"
        " AND model = :model AND finished_at IS NOT NULL AND id <> :run ORDER BY finished_at DESC, id DESC LIMIT 1)",
        project=run.project,
        model=run.model,
        run=run.id,
    )
    return {row["name"]: row["seconds"] for row in rows}

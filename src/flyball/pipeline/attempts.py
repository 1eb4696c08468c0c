"""The book of a run's steps, each as it was last attempted. Writes take a transaction, and only of the run's owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import orjson

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.runs import check_owner
from flyball.store.clock import moment, stamp, utcnow
from flyball.store.database import Database, Row, Transaction

StepStatus = Literal["running", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a run, as last recorded."""

    run: str
    name: str
    status: StepStatus
    #: over all resumptions; attempt n lies in `runs/RUN/STEP/n`.
    attempts: int
    recorded_at: datetime
    #: what the successful attempt took.
    seconds: float | None
    artifact: Artifact | None
    error: str | None
    #: digest of how it is made, see `fallback.recipes`; None: nobody can tell.
    recipe: str | None = None
    #: the earlier run whose result stands in for this one's; None: it was made here.
    fallback_run: str | None = None


def steps_of(database: Database, run: str) -> tuple[StepRecord, ...]:
    """The run's steps in the order they were first begun."""
    return tuple(_step(row) for row in database.all("SELECT * FROM step WHERE run = :run ORDER BY rowid", run=run))


def step_begun(tx: Transaction, *, run: str, name: str, recipe: str | None = None) -> int:
    """Record that a new attempt begins, and by what recipe; its number, from 1. Raises Conflict if the run is not ours."""
    check_owner(tx, run)
    tx.run(
        "INSERT INTO step (run, name, status, attempts, recorded_at, recipe)"
        " VALUES (:run, :name, 'running', 1, :at, :recipe)"
        " ON CONFLICT (run, name) DO UPDATE SET status = 'running', attempts = step.attempts + 1, recorded_at = :at,"
        " seconds = NULL, artifact = NULL, error = NULL, recipe = :recipe, fallback_run = NULL",
        run=run,
        name=name,
        recipe=recipe,
        at=stamp(utcnow()),
    )
    row = tx.one("SELECT attempts FROM step WHERE run = :run AND name = :name", run=run, name=name)
    assert row is not None
    return int(row["attempts"])


def step_done(
    tx: Transaction,
    *,
    run: str,
    name: str,
    artifact: Artifact,
    seconds: float,
    fallback_run: str | None = None,
) -> None:
    """Record a step's result, and the run it was taken from if it was. Raises Conflict if the run is not ours."""
    check_owner(tx, run)
    tx.run(
        "UPDATE step SET status = 'done', seconds = :seconds, artifact = :artifact, error = NULL, recorded_at = :at,"
        " fallback_run = :fallback_run WHERE run = :run AND name = :name",
        fallback_run=fallback_run,
        seconds=seconds,
        artifact=orjson.dumps(artifact.to_json()).decode(),
        at=stamp(utcnow()),
        run=run,
        name=name,
    )


def step_failed(tx: Transaction, *, run: str, name: str, error: str) -> None:
    """Record that an attempt failed. Raises Conflict if the run is not ours."""
    check_owner(tx, run)
    tx.run(
        "UPDATE step SET status = 'failed', error = :error, recorded_at = :at WHERE run = :run AND name = :name",
        error=error,
        at=stamp(utcnow()),
        run=run,
        name=name,
    )


def _step(row: Row) -> StepRecord:
    return StepRecord(
        run=row["run"],
        name=row["name"],
        status=row["status"],
        attempts=row["attempts"],
        recorded_at=moment(row["recorded_at"]),
        seconds=row["seconds"],
        artifact=None if row["artifact"] is None else Artifact.from_json(orjson.loads(row["artifact"])),
        error=row["error"],
        recipe=row["recipe"],
        fallback_run=row["fallback_run"],
    )

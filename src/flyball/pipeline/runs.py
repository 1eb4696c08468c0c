"""The book of runs; that of their steps is `attempts`. Writes take a transaction, so that callers can join them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from flyball.errors import Conflict, NotFound
from flyball.pipeline.owner import is_alive, this_process
from flyball.pipeline.step import Window
from flyball.store.clock import moment, stamp, utcnow
from flyball.store.database import Database, Row, Transaction
from flyball.store.ids import new_id

RunStatus = Literal["running", "failed", "refused", "released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One pipeline run."""

    id: str
    project: str
    model: str
    #: schedule | drift | performance | volume | manual | first
    reason: str
    why: str
    #: the run's `now`: nothing known later may enter it.
    decided_at: datetime
    window: Window
    params: Mapping[str, Any]
    seed: int
    status: RunStatus
    #: `host:pid` or `host:pid:start` of the process that executes it; see `owner`.
    owner: str
    recorded_at: datetime
    finished_at: datetime | None
    #: the version it registered.
    version: int | None
    error: str | None
    #: who wanted it: "flyball" for the governor, else a person, or several with ", " between.
    requested_by: str


def create_run(
    tx: Transaction,
    *,
    project: str,
    model: str,
    reason: str,
    why: str,
    now: datetime,
    window: Window,
    params: Mapping[str, Any],
    seed: int,
    requested_by: str = "flyball",
    id: str | None = None,  # noqa: A002  # it is the record's field
) -> RunRecord:
    """Write a new run, owned by this process. An `id` that exists already is a Conflict."""
    run = RunRecord(
        id=id or new_id(),
        project=project,
        model=model,
        reason=reason,
        why=why,
        decided_at=now,
        window=window,
        params=params,
        seed=seed,
        status="running",
        owner=this_process(),
        recorded_at=utcnow(),
        finished_at=None,
        version=None,
        error=None,
        requested_by=requested_by,
    )
    written = tx.run(
        "INSERT INTO run (id, project, model, reason, why, decided_at, window_start, window_end, params, seed, status,"
        " owner, recorded_at, requested_by) VALUES (:id, :project, :model, :reason, :why, :decided_at, :window_start,"
        " :window_end, :params, :seed, :status, :owner, :recorded_at, :requested_by) ON CONFLICT (id) DO NOTHING",
        id=run.id,
        project=project,
        model=model,
        reason=reason,
        why=why,
        decided_at=stamp(now),
        window_start=None if window.start is None else stamp(window.start),
        window_end=stamp(window.end),
        params=orjson.dumps(dict(params)).decode(),
        seed=seed,
        status=run.status,
        requested_by=requested_by,
        owner=run.owner,
        recorded_at=stamp(run.recorded_at),
    )
    if not written:
        raise Conflict(f"run {run.id} exists already; nothing was changed")
    return run


def find_run(database: Database | Transaction, run: str) -> RunRecord:
    """The run with this id, or with the only id that begins so. Raises NotFound."""
    rows = database.all(
        "SELECT * FROM run WHERE id = :id OR substr(id, 1, length(:id)) = :id ORDER BY id = :id DESC LIMIT 2", id=run
    )
    if not rows or not run:
        raise NotFound(f"no run {run!r}; `flyball runs` lists them")
    if len(rows) > 1 and rows[0]["id"] != run:
        raise NotFound(f"{run!r} begins more than one run's id ({rows[0]['id']}, {rows[1]['id']}); give more of it")
    return _run(rows[0])


def runs_of(database: Database, model: str, *, limit: int = 100) -> tuple[RunRecord, ...]:
    """A model's runs, the latest decided first."""
    rows = database.all(
        "SELECT * FROM run WHERE model = :model ORDER BY decided_at DESC, id DESC LIMIT :limit",
        model=model,
        limit=limit,
    )
    return tuple(_run(row) for row in rows)


def unfinished(database: Database, project: str) -> tuple[RunRecord, ...]:
    """Runs still marked as running, oldest first: being executed, or left by a process that died."""
    rows = database.all(
        "SELECT * FROM run WHERE project = :project AND status = 'running' ORDER BY decided_at, id", project=project
    )
    return tuple(_run(row) for row in rows)


def finish_run(
    tx: Transaction,
    run: str,
    status: Literal["failed", "refused", "released"],
    *,
    version: int | None = None,
    error: str | None = None,
) -> None:
    """End a run. Raises Conflict if this process does not own it, or it has ended already."""
    changed = tx.run(
        "UPDATE run SET status = :status, version = :version, error = :error, finished_at = :at"
        " WHERE id = :id AND status = 'running' AND owner = :owner",
        status=status,
        version=version,
        error=error,
        at=stamp(utcnow()),
        id=run,
        owner=this_process(),
    )
    if not changed:
        raise _not_ours(find_run(tx, run))


def take_over(tx: Transaction, run: str) -> RunRecord:
    """Make this process the owner of a run that failed, or whose owner died. One of ours already stays so.

    Raises Conflict if its owner lives (or is on another host, where nobody can tell), or if it ended well.
    """
    was = find_run(tx, run)
    if was.status in ("refused", "released"):
        raise Conflict(f"run {was.id} has ended ({was.status}); start a new one with `flyball run`")
    if was.status == "running" and was.owner != this_process() and is_alive(was.owner):
        raise _not_ours(was)
    tx.run(
        "UPDATE run SET owner = :owner, status = 'running', error = NULL, finished_at = NULL WHERE id = :id",
        owner=this_process(),
        id=was.id,
    )
    return find_run(tx, was.id)


def check_owner(tx: Transaction, run: str) -> None:
    """Raise Conflict unless the run is running and this process owns it."""
    found = find_run(tx, run)
    if found.status != "running" or found.owner != this_process():
        raise _not_ours(found)


def _not_ours(run: RunRecord) -> Conflict:
    if run.status != "running":
        return Conflict(f"run {run.id} has ended ({run.status}); nothing was changed")
    return Conflict(
        f"run {run.id} is being executed by {run.owner}, which lives as far as can be told from here; "
        "wait for it, or end that process and resume"
    )


def window_of(row: Row) -> Window:
    return Window(
        start=None if row["window_start"] is None else moment(row["window_start"]), end=moment(row["window_end"])
    )


def _run(row: Row) -> RunRecord:
    return RunRecord(
        id=row["id"],
        project=row["project"],
        model=row["model"],
        reason=row["reason"],
        why=row["why"],
        decided_at=moment(row["decided_at"]),
        window=window_of(row),
        params=orjson.loads(row["params"]),
        seed=row["seed"],
        status=row["status"],
        owner=row["owner"],
        recorded_at=moment(row["recorded_at"]),
        finished_at=None if row["finished_at"] is None else moment(row["finished_at"]),
        version=row["version"],
        error=row["error"],
        requested_by=row["requested_by"],
    )

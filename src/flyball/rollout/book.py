"""The table of rollouts: which candidates are on their way, wait for their turn, or came to an end."""

from __future__ import annotations

from datetime import datetime

from flyball.registry import decisions
from flyball.registry.records import Version
from flyball.rollout.state import Rollout, Status
from flyball.store import Database, Row, Transaction, moment, stamp


def active(tx: Transaction | Database, model: str) -> Rollout | None:
    """The rollout that is under way, if any."""
    return _first(tx, model, "shadow")


def queued(tx: Transaction | Database, model: str) -> Rollout | None:
    """The oldest rollout that waits for its turn."""
    return _first(tx, model, "queued")


def rollouts(database: Database, model: str) -> list[Rollout]:
    """Newest first."""
    return [_rollout(row) for row in database.all(f"{_SELECT} WHERE model = :model ORDER BY id DESC", model=model)]


_SELECT = "SELECT id, model, candidate, champion, status, started_at FROM rollout"


def _first(tx: Transaction | Database, model: str, status: Status) -> Rollout | None:
    return next(iter(with_status(tx, model, status)), None)


def with_status(tx: Transaction | Database, model: str, status: Status) -> list[Rollout]:
    """Oldest first."""
    rows = tx.all(f"{_SELECT} WHERE model = :model AND status = :status ORDER BY id", model=model, status=status)
    return [_rollout(row) for row in rows]


def stands(tx: Transaction, rollout: Rollout) -> bool:
    """Whether it is still as it was read: nobody has moved or ended it meanwhile."""
    return rollout in with_status(tx, rollout.model, rollout.status)


def open_as(tx: Transaction, candidate: Version, *, champion: int | None, status: Status, now: datetime) -> Rollout:
    """Write the candidate's rollout; one it had before begins anew."""
    tx.run(
        "INSERT INTO rollout (model, candidate, champion, status, started_at, moved_at)"
        " VALUES (:model, :candidate, :champion, :status, :now, :now)"
        " ON CONFLICT (model, candidate) DO UPDATE SET champion = excluded.champion, status = excluded.status,"
        " started_at = excluded.started_at, moved_at = excluded.moved_at",
        model=candidate.model,
        candidate=candidate.number,
        champion=champion,
        status=status,
        now=stamp(now),
    )
    return next(item for item in with_status(tx, candidate.model, status) if item.candidate == candidate.number)


def close_as(tx: Transaction, rollout: Rollout, status: Status, now: datetime) -> None:
    tx.run(
        "UPDATE rollout SET status = :status, moved_at = :now WHERE id = :id",
        status=status,
        now=stamp(now),
        id=rollout.id,
    )


def end(tx: Transaction, rollout: Rollout, status: Status, *, now: datetime, why: str) -> None:
    """Close it before it came to its end, with a decision that says why."""
    close_as(tx, rollout, status, now)
    decide(tx, rollout, verdict=status, now=now, why=why, evidence={})


def end_open(tx: Transaction, model: str, number: int, *, now: datetime, why: str) -> None:
    """End what the version still has under way or waiting: it is not to answer."""
    for rollout in (*with_status(tx, model, "queued"), *with_status(tx, model, "shadow")):
        if rollout.candidate == number:
            end(tx, rollout, "aborted", now=now, why=why)


def decide(tx: Transaction, rollout: Rollout, *, verdict: str, now: datetime, why: str, evidence: object) -> None:
    """The decision on how it ended."""
    decisions.decide(
        tx,
        model=rollout.model,
        at=now,
        kind="rollout",
        subject=f"v{rollout.candidate}",
        verdict=verdict,
        reason=why,
        evidence=evidence,
        dedup=f"rollout:{rollout.id}:{verdict}:{stamp(rollout.started_at)}",
    )


def _rollout(row: Row) -> Rollout:
    return Rollout(**{**dict(row), "started_at": moment(row["started_at"])})

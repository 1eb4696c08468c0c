"""The table of rollouts: which candidates are on their way, wait for their turn, or came to an end."""

from __future__ import annotations

from datetime import datetime

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


def open_as(tx: Transaction, candidate: Version, *, champion: int | None, status: Status, now: datetime) -> None:
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


def close_as(tx: Transaction, rollout: Rollout, status: Status, now: datetime) -> None:
    tx.run(
        "UPDATE rollout SET status = :status, moved_at = :now WHERE id = :id",
        status=status,
        now=stamp(now),
        id=rollout.id,
    )


def _rollout(row: Row) -> Rollout:
    return Rollout(**{**dict(row), "started_at": moment(row["started_at"])})

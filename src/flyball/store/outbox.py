"""The outbox: any room writes what others should hear, in the same transaction as what happened; the loop sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from flyball.store.clock import moment, stamp

if TYPE_CHECKING:
    from datetime import datetime

    from flyball.store.database import Database, Row, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened and wants telling."""

    id: int
    at: datetime
    kind: str
    #: JSON value; its shape is the kind's own.
    payload: dict[str, Any]
    attempts: int


def emit(tx: Transaction, *, kind: str, payload: dict[str, Any], dedup: str, at: datetime) -> None:
    """Write an event once: a second one with the same `dedup` is nothing."""
    tx.run(
        "INSERT INTO outbox (at, kind, payload, dedup) VALUES (:at, :kind, :payload, :dedup)"
        " ON CONFLICT (dedup) DO NOTHING",
        at=stamp(at),
        kind=kind,
        payload=orjson.dumps(payload).decode(),
        dedup=dedup,
    )


def pending(database: Database) -> list[Event]:
    """Events not yet delivered, oldest first: all of them, so that those that cannot be delivered hide no others."""
    rows = database.all("SELECT id, at, kind, payload, attempts FROM outbox WHERE done_at IS NULL ORDER BY id")
    return [_event(row) for row in rows]


def newest(database: Database, *, kind: str, limit: int) -> list[Event]:
    """The newest events of a kind, delivered or not, newest first."""
    rows = database.all(
        "SELECT id, at, kind, payload, attempts FROM outbox WHERE kind = :kind ORDER BY id DESC LIMIT :limit",
        kind=kind,
        limit=limit,
    )
    return [_event(row) for row in rows]


def delivered(tx: Transaction, event: Event, *, at: datetime) -> None:
    tx.run("UPDATE outbox SET done_at = :at, error = NULL WHERE id = :id", at=stamp(at), id=event.id)


def failed(tx: Transaction, event: Event, *, error: str) -> None:
    """Keep it for another try, with what went wrong."""
    tx.run("UPDATE outbox SET attempts = attempts + 1, error = :error WHERE id = :id", error=error[:500], id=event.id)


def _event(row: Row) -> Event:
    return Event(
        id=row["id"],
        at=moment(row["at"]),
        kind=row["kind"],
        payload=orjson.loads(row["payload"]),
        attempts=row["attempts"],
    )

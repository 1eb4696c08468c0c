"""Who changed what, when, from what to what, and why. Written in the same transaction as the change."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import datetime

from flyball.registry import chain
from flyball.store import Database, Transaction, moment, stamp, utcnow

#: what Flyball does by itself is recorded under this name.
GOVERNOR = "flyball"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    id: int
    at: datetime
    who: str
    act: str
    model: str
    was: str | None
    becomes: str | None
    why: str


def local_user() -> str:
    """The OS user: acts on the local command line are recorded as theirs."""
    return getpass.getuser()


def record(
    tx: Transaction, *, at: datetime, who: str, act: str, model: str, was: str | None, becomes: str | None, why: str
) -> int:
    """Append one entry to the chain; its number."""
    entry = tx.insert(
        "INSERT INTO audit (at, recorded_at, who, act, model, was, becomes, why)"
        " VALUES (:at, :recorded_at, :who, :act, :model, :was, :becomes, :why)",
        at=stamp(at),
        recorded_at=stamp(utcnow()),
        who=who,
        act=act,
        model=model,
        was=was,
        becomes=becomes,
        why=why,
    )
    chain.seal(tx, entry)
    return entry


def entries(database: Database, *, model: str | None = None, limit: int = 100) -> list[AuditEntry]:
    """Newest first."""
    rows = database.all(
        "SELECT id, at, who, act, model, was, becomes, why FROM audit"
        " WHERE :model IS NULL OR model = :model ORDER BY id DESC LIMIT :limit",
        model=model,
        limit=limit,
    )
    return [AuditEntry(**{**dict(row), "at": moment(row["at"])}) for row in rows]

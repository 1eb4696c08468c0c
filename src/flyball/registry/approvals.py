"""Four eyes: what passed its gate waits for a person who is not the one who wanted it; both names are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from flyball.errors import Conflict, NotFound
from flyball.registry import audit
from flyball.registry.versions import set_stage
from flyball.store import Database, Row, Transaction, moment, stamp

Status = Literal["waiting", "approved", "expired", "superseded", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A version that passed its gate, and what a person said to it."""

    model: str
    version: int
    #: who wanted the run; several names with ", " between.
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    status: Status
    decided_by: str | None
    decided_at: datetime | None
    #: the gate's words while it waits, then the approver's.
    why: str
    #: how it is rolled out once approved: strategy, on_new, columns.
    rollout: Mapping[str, Any]


def ask(
    tx: Transaction,
    *,
    model: str,
    version: int,
    requested_by: str,
    expires_at: datetime,
    why: str,
    rollout: Mapping[str, Any],
    now: datetime,
) -> None:
    """Have a version wait, in staging. One that waited before it is superseded: the newer one was judged on newer rows."""
    for row in tx.all("SELECT version FROM approval WHERE model = :model AND status = 'waiting'", model=model):
        _end(tx, model, row["version"], "superseded", by=None, why=f"v{version} passed after it", now=now)
        set_stage(tx, model, row["version"], "archived")
    tx.run(
        "INSERT INTO approval (model, version, requested_by, requested_at, expires_at, status, why, rollout)"
        " VALUES (:model, :version, :requested_by, :now, :expires_at, 'waiting', :why, :rollout)",
        model=model,
        version=version,
        requested_by=requested_by,
        now=stamp(now),
        expires_at=stamp(expires_at),
        why=why,
        rollout=orjson.dumps(dict(rollout)).decode(),
    )
    set_stage(tx, model, version, "staging")


def approve(tx: Transaction, *, model: str, version: int, who: str, why: str, now: datetime) -> Approval:
    """`who` lets it go on; the approval as it stood. Raises NotFound, and Conflict where it is not theirs to approve."""
    found = of(tx, model, version)
    name = f"v{version} of {model}"
    if found is None:
        raise NotFound(f'{name} waits for no approval; `[gate] approval = "human"` makes what passes its gate wait')
    if found.status != "waiting":
        by = f" by {found.decided_by}" if found.decided_by else ""
        raise Conflict(f"{name} waits no longer: {found.status}{by}; a new run makes a new candidate")
    if found.expires_at <= now:
        raise Conflict(f"{name} was to be approved until {found.expires_at:%Y-%m-%d %H:%M}Z; a new run makes a new one")
    if who in found.requested_by.split(", "):
        raise Conflict(f"{name} was wanted by {found.requested_by}; somebody else must approve it, and you are {who}")
    _end(tx, model, version, "approved", by=who, why=why, now=now)
    words = f"{why} (wanted by {found.requested_by})"
    audit.record(tx, at=now, who=who, act="approve", model=model, was=None, becomes=f"v{version} approved", why=words)
    return found


def expire(tx: Transaction, *, model: str, now: datetime) -> list[Approval]:
    """End what has waited too long; what was ended, now archived."""
    late = [item for item in waiting(tx, model) if item.expires_at <= now]
    for item in late:
        _end(tx, model, item.version, "expired", by=None, why="nobody approved it in time", now=now)
        set_stage(tx, model, item.version, "archived")
    return late


def withdraw(tx: Transaction, *, model: str, version: int, who: str, why: str, now: datetime) -> None:
    """End its wait, if it waits: the version was put away."""
    found = of(tx, model, version)
    if found is not None and found.status == "waiting":
        _end(tx, model, version, "withdrawn", by=who, why=why, now=now)


def of(source: Transaction | Database, model: str, version: int) -> Approval | None:
    """The version's approval; None where it never had to wait for one."""
    row = source.one("SELECT * FROM approval WHERE model = :model AND version = :version", model=model, version=version)
    return None if row is None else _approval(row)


def waiting(source: Transaction | Database, model: str) -> list[Approval]:
    rows = source.all(
        "SELECT * FROM approval WHERE model = :model AND status = 'waiting' ORDER BY version", model=model
    )
    return [_approval(row) for row in rows]


def require_approved(source: Transaction | Database, model: str, version: int) -> None:
    """Raise Conflict where a version had to be approved and was not: no other way leads around it."""
    found = of(source, model, version)
    if found is not None and found.status != "approved":
        mend = (
            f"`flyball approve {model}@{version}`" if found.status == "waiting" else "a new run makes a new candidate"
        )
        raise Conflict(f"v{version} of {model} needs another person's approval and has none ({found.status}); {mend}")


def _end(tx: Transaction, model: str, version: int, status: Status, *, by: str | None, why: str, now: datetime) -> None:
    tx.run(
        "UPDATE approval SET status = :status, decided_by = :by, decided_at = :now, why = :why"
        " WHERE model = :model AND version = :version",
        status=status,
        by=by,
        now=stamp(now),
        why=why,
        model=model,
        version=version,
    )


def _approval(row: Row) -> Approval:
    return Approval(
        **{
            **dict(row),
            "requested_at": moment(row["requested_at"]),
            "expires_at": moment(row["expires_at"]),
            "decided_at": moment(row["decided_at"]) if row["decided_at"] else None,
            "rollout": orjson.loads(row["rollout"]),
        }
    )

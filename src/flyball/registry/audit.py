"""Who changed what, when, from what to what, and why. Written in the same transaction as the change."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from flyball.registry import chain, decisions
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
    #: what it rests on: the gate's verdict on what it makes live, and digests of the rows it tells of.
    evidence: Mapping[str, Any]

    @property
    def gate(self) -> str | None:
        """The gate's word on the version that went live: passed, refused; None where none was needed or none spoke."""
        found: Mapping[str, Any] = self.evidence.get("gate") or {}
        return found.get("verdict")


def local_user() -> str:
    """The OS user: acts on the local command line are recorded as theirs.

    By the process's own number, not by LOGNAME or USER: four eyes are not had by setting a variable.
    """
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user need not have a name
        return str(number)


def record(
    tx: Transaction,
    *,
    at: datetime,
    who: str,
    act: str,
    model: str,
    was: str | None,
    becomes: str | None,
    why: str,
    evidence: Mapping[str, Any] | None = None,
) -> int:
    """Append one entry to the chain; its number.

    What a person does is a decision too, and carries the chain's new head: the entry cannot be cut off unseen.
    """
    entry = tx.insert(
        "INSERT INTO audit (at, recorded_at, who, act, model, was, becomes, why, evidence)"
        " VALUES (:at, :recorded_at, :who, :act, :model, :was, :becomes, :why, :evidence)",
        at=stamp(at),
        recorded_at=stamp(utcnow()),
        who=who,
        act=act,
        model=model,
        was=was,
        becomes=becomes,
        why=why,
        evidence=orjson.dumps(evidence).decode() if evidence else None,
    )
    chain.seal(tx, entry)
    if who != GOVERNOR:
        decisions.decide(
            tx,
            model=model,
            at=at,
            kind="act",
            subject=_subject(was, becomes, model),
            verdict=act,
            reason=f"{who}: {why}",
            evidence={"was": was, "becomes": becomes, **(evidence or {}), "audit_head": chain.head(tx)},
            dedup=f"act:{entry}:{chain.head(tx)}",
        )
    return entry


def _subject(was: str | None, becomes: str | None, model: str) -> str:
    """The version it is about, where it is about one: `v7 archived` is about v7."""
    told = (becomes or was or "").partition(" ")[0]
    return told if told[:1] == "v" and told[1:].isdigit() else model or "every model"


def entries(database: Database, *, model: str | None = None, limit: int = 100) -> list[AuditEntry]:
    """Newest first."""
    rows = database.all(
        "SELECT id, at, who, act, model, was, becomes, why, evidence FROM audit"
        " WHERE :model IS NULL OR model = :model ORDER BY id DESC LIMIT :limit",
        model=model,
        limit=limit,
    )
    return [
        AuditEntry(**{**dict(row), "at": moment(row["at"]), "evidence": orjson.loads(row["evidence"] or "{}")})
        for row in rows
    ]

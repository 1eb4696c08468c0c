"""Every decision with its evidence, the decisions to do nothing too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from flyball.registry import chain
from flyball.store import Database, Row, Transaction, moment, stamp, utcnow

#: `act`: what a person did by hand.
Kind = Literal["gate", "retrain", "rollout", "drift", "performance", "diagnosis", "run", "act", "reproduce"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision."""

    id: int
    model: str
    at: datetime
    kind: Kind
    #: what it is about: "v7", a run, a date.
    subject: str
    verdict: str
    #: one sentence a person can read.
    reason: str
    evidence: dict[str, Any]


def decide(
    tx: Transaction,
    *,
    model: str,
    at: datetime,
    kind: Kind,
    subject: str,
    verdict: str,
    reason: str,
    evidence: Any,
    dedup: str,
) -> None:
    """Write a decision once: a second one with the same `dedup` is nothing, so that a killed loop may repeat itself."""
    tx.run(
        "INSERT INTO decision (model, at, recorded_at, kind, subject, verdict, reason, evidence, dedup, audit_head)"
        " VALUES (:model, :at, :recorded_at, :kind, :subject, :verdict, :reason, :evidence, :dedup, :audit_head)"
        " ON CONFLICT (dedup) DO NOTHING",
        model=model,
        at=stamp(at),
        recorded_at=stamp(utcnow()),
        kind=kind,
        subject=subject,
        verdict=verdict,
        reason=reason,
        evidence=orjson.dumps(evidence, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode(),
        dedup=dedup,
        audit_head=chain.head(tx),
    )


def decisions(
    source: Database | Transaction,
    model: str,
    *,
    kind: Kind | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> list[Decision]:
    """Newest first."""
    rows = source.all(
        "SELECT id, model, at, kind, subject, verdict, reason, evidence FROM decision WHERE model = :model"
        " AND (:kind IS NULL OR kind = :kind) AND (:subject IS NULL OR subject = :subject)"
        " AND (:since IS NULL OR at >= :since) ORDER BY at DESC, id DESC LIMIT :limit",
        model=model,
        kind=kind,
        subject=subject,
        since=stamp(since) if since else None,
        limit=limit,
    )
    return [_decision(row) for row in rows]


def decided(database: Database, dedup: str) -> bool:
    """Whether this very decision was taken already."""
    return database.one("SELECT 1 FROM decision WHERE dedup = :dedup", dedup=dedup) is not None


def _decision(row: Row) -> Decision:
    return Decision(**{**dict(row), "at": moment(row["at"]), "evidence": orjson.loads(row["evidence"])})

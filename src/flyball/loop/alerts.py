"""Alerts: one open alert per model and cause, told once when it opens and once when it ends.

Opening and ending are rows and outbox events of one transaction; `delivering` sends them later. An alert that fires again
before its end was told on any channel was never ended: one that flaps is one alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson

from flyball.errors import Mistake, NotFound
from flyball.loop.alert_context import context_of
from flyball.registry import audit, chain
from flyball.store import Database, Row, Transaction, emit, moment, stamp

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    id: int
    model: str
    name: str
    severity: Severity
    since: datetime
    resolved_at: datetime | None
    title: str
    evidence: Mapping[str, Any]
    acked_at: datetime | None = None
    acked_by: str | None = None


def open_alert(
    tx: Transaction, *, model: str, name: str, severity: Severity, title: str, evidence: Mapping[str, Any], at: datetime
) -> None:
    """Open an alert and have it told. One that is open already, or whose end was not told yet, takes the newer evidence.

    In `evidence`, `features` (columns, the worst first) and `slice` (text) are shown with the message, and the last days of
    `metric`, where it names one.
    """
    row = tx.one(
        "SELECT id FROM alert WHERE model = :model AND name = :name AND resolved_at IS NULL", model=model, name=name
    ) or _reopened(tx, model, name)
    text = orjson.dumps(evidence, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    if row is not None:
        tx.run(
            "UPDATE alert SET title = :title, evidence = :evidence WHERE id = :id",
            title=title,
            evidence=text,
            id=row["id"],
        )
        return
    number = tx.insert(
        "INSERT INTO alert (model, name, severity, since, title, evidence, audit_head)"
        " VALUES (:model, :name, :severity, :since, :title, :evidence, :audit_head)",
        model=model,
        name=name,
        severity=severity,
        since=stamp(at),
        title=title,
        evidence=text,
        audit_head=chain.head(tx),
    )
    _tell(tx, number, model, name, severity, "firing", title, evidence, at, since=at)


def end_alert(tx: Transaction, *, model: str, name: str, at: datetime, why: str) -> None:
    """End the open alert, if there is one, and have that told."""
    row = tx.one(
        "SELECT id, severity, since, evidence FROM alert WHERE model = :model AND name = :name AND resolved_at IS NULL",
        model=model,
        name=name,
    )
    if row is None:
        return
    tx.run("UPDATE alert SET resolved_at = :at WHERE id = :id", at=stamp(at), id=row["id"])
    metric = orjson.loads(row["evidence"]).get("metric")
    evidence = {"metric": metric} if metric else {}  # of what it was about, how it is now
    _tell(tx, row["id"], model, name, row["severity"], "resolved", why, evidence, at, since=moment(row["since"]))


def is_open(database: Database, *, model: str, name: str) -> bool:
    """Whether the alert has been opened and not ended."""
    sql = "SELECT 1 FROM alert WHERE model = :model AND name = :name AND resolved_at IS NULL"
    return database.one(sql, model=model, name=name) is not None


def open_evidence(tx: Transaction, *, model: str, name: str) -> Mapping[str, Any]:
    """The evidence of the open alert; empty where none is open."""
    row = tx.one(
        "SELECT evidence FROM alert WHERE model = :model AND name = :name AND resolved_at IS NULL",
        model=model,
        name=name,
    )
    found: dict[str, Any] = {} if row is None else orjson.loads(row["evidence"])
    return found


def acknowledge(tx: Transaction, number: int, *, who: str, at: datetime) -> Alert:
    """Somebody sees to it: it is not repeated, and channels that know the word are told. Raises NotFound, Mistake."""
    row = tx.one(f"{_SELECT} WHERE id = :id", id=number)
    if row is None:
        raise NotFound(f"no alert {number}; `flyball alerts --all` lists them with their numbers")
    if row["resolved_at"]:
        raise Mistake(f"alert {number} ended at {row['resolved_at'][:16]}Z; there is nothing to acknowledge")
    if row["acked_at"]:
        return _alert(row)
    tx.run("UPDATE alert SET acked_at = :at, acked_by = :who WHERE id = :id", at=stamp(at), who=who, id=number)
    model, name = row["model"], row["name"]
    audit.record(tx, at=at, who=who, act="ack", model=model, was=None, becomes=f"alert {number} ({name})", why="seen")
    title, since = f"{who} sees to it: {row['title']}", moment(row["since"])
    _tell(tx, number, model, name, row["severity"], "acknowledged", title, {}, at, since=since)
    after = tx.one(f"{_SELECT} WHERE id = :id", id=number)
    assert after is not None
    return _alert(after)


def due_again(tx: Transaction, model: str, every_s: float, now: datetime) -> list[Alert]:
    """Open alerts nobody acknowledged, of which the last word reached a channel `every_s` ago and none is on its way."""
    rows = tx.all(
        _SELECT + _DUE_AGAIN,
        model=model,
        before=stamp(now - timedelta(seconds=every_s)),
    )
    return [_alert(row) for row in rows]


def tell_again(tx: Transaction, alert: Alert, now: datetime) -> None:
    """Have an open alert told once more, with its newest evidence, unless that is on its way."""
    _tell(
        tx,
        alert.id,
        alert.model,
        alert.name,
        alert.severity,
        "firing",
        alert.title,
        alert.evidence,
        now,
        since=alert.since,
        repeated=True,
    )


_SELECT = "SELECT id, model, name, severity, since, resolved_at, title, evidence, acked_at, acked_by FROM alert"
_DUE_AGAIN = (
    " WHERE model = :model AND resolved_at IS NULL AND acked_at IS NULL AND EXISTS ("
    " SELECT 1 FROM delivery WHERE alert_key = alert.model || ':' || alert.name || ':' || alert.id"
    " GROUP BY alert_key HAVING max(delivered_at) <= :before"
    " AND min(CASE WHEN status IN ('waiting', 'sending') THEN 0 ELSE 1 END) = 1) ORDER BY id"
)


def alerts(database: Database, *, open_only: bool = False, limit: int = 100) -> list[Alert]:
    """Newest first."""
    rows = database.all(
        f"{_SELECT} WHERE resolved_at IS NULL OR NOT :open_only ORDER BY since DESC, id DESC LIMIT :limit",
        open_only=open_only,
        limit=limit,
    )
    return [_alert(row) for row in rows]


def _alert(row: Row) -> Alert:
    return Alert(
        **{
            **dict(row),
            "since": moment(row["since"]),
            "resolved_at": moment(row["resolved_at"]) if row["resolved_at"] else None,
            "acked_at": moment(row["acked_at"]) if row["acked_at"] else None,
            "evidence": orjson.loads(row["evidence"]),
        }
    )


def _reopened(tx: Transaction, model: str, name: str) -> Row | None:
    """The newest alert of the cause, open again, where nobody has heard of its end."""
    row = tx.one(
        "SELECT id FROM alert WHERE model = :model AND name = :name ORDER BY id DESC LIMIT 1", model=model, name=name
    )
    if row is None:
        return None
    dedup = f"alert:{model}:{name}:{row['id']}:resolved"
    event = tx.one(
        "SELECT id FROM outbox WHERE dedup = :dedup AND done_at IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM delivery WHERE event = outbox.id AND (attempts > 0 OR status <> 'waiting'))",
        dedup=dedup,
    )
    if event is None:
        return None
    tx.run("DELETE FROM delivery WHERE event = :id", id=event["id"])
    tx.run("DELETE FROM outbox WHERE id = :id", id=event["id"])
    tx.run("UPDATE alert SET resolved_at = NULL WHERE id = :id", id=row["id"])
    return row


def _tell(
    tx: Transaction,
    number: int,
    model: str,
    name: str,
    severity: str,
    status: str,
    title: str,
    evidence: Mapping[str, Any],
    at: datetime,
    *,
    since: datetime,
    repeated: bool = False,
) -> None:
    key = f"{model}:{name}:{number}"
    payload = {
        "key": key,
        "model": model,
        "name": name,
        "severity": severity,
        "status": status,
        "title": title,
        "at": stamp(at),
        "since": stamp(since),
        "evidence": orjson.loads(orjson.dumps(evidence, option=orjson.OPT_SERIALIZE_NUMPY)),
        "context": context_of(tx, model, evidence.get("metric")),
        # Kept elsewhere with the message, it bears witness against an audit that was cut short.
        "audit_head": chain.head(tx),
    }
    again = f":repeat:{stamp(at)}" if repeated else ""
    emit(tx, kind="alert", payload=payload, dedup=f"alert:{key}:{status}{again}", at=at)

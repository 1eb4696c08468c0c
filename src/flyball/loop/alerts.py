"""Alerts: one open alert per model and cause, told once when it opens and once when it ends.

Opening and ending are rows and outbox events of one transaction; sending happens later, is repeated until it succeeds,
and carries the same key every time.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from flyball.errors import NotFound, Unavailable
from flyball.project.records import AlertSettings, Channel, Project
from flyball.registry import chain
from flyball.store import Database, Event, Transaction, emit, moment, stamp

Severity = Literal["info", "warning", "critical"]

WEBHOOK_TIMEOUT_S = 10


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


def open_alert(
    tx: Transaction, *, model: str, name: str, severity: Severity, title: str, evidence: Mapping[str, Any], at: datetime
) -> None:
    """Open an alert and have it told. One that is open already only takes the newer evidence."""
    row = tx.one(
        "SELECT id FROM alert WHERE model = :model AND name = :name AND resolved_at IS NULL", model=model, name=name
    )
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
    _tell(tx, number, model, name, severity, "firing", title, evidence, at)


def end_alert(tx: Transaction, *, model: str, name: str, at: datetime, why: str) -> None:
    """End the open alert, if there is one, and have that told."""
    row = tx.one(
        "SELECT id, severity FROM alert WHERE model = :model AND name = :name AND resolved_at IS NULL",
        model=model,
        name=name,
    )
    if row is None:
        return
    tx.run("UPDATE alert SET resolved_at = :at WHERE id = :id", at=stamp(at), id=row["id"])
    _tell(tx, row["id"], model, name, row["severity"], "resolved", why, {}, at)


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


def alerts(database: Database, *, open_only: bool = False, limit: int = 100) -> list[Alert]:
    """Newest first."""
    rows = database.all(
        "SELECT id, model, name, severity, since, resolved_at, title, evidence FROM alert"
        " WHERE resolved_at IS NULL OR NOT :open_only ORDER BY since DESC, id DESC LIMIT :limit",
        open_only=open_only,
        limit=limit,
    )
    return [
        Alert(
            **{
                **dict(row),
                "since": moment(row["since"]),
                "resolved_at": moment(row["resolved_at"]) if row["resolved_at"] else None,
                "evidence": orjson.loads(row["evidence"]),
            }
        )
        for row in rows
    ]


def deliver(event: Event, settings: AlertSettings, say: Callable[[str], None], silent: dict[str, str]) -> None:
    """Send an alert event to the channels of its severity. Raises Unavailable if one could not be reached.

    `silent`: channels that failed at this beat, with the reason; they are not tried again, so that a dead one costs a
    beat one time-out, and no end of an alert overtakes its beginning. Added to.
    """
    payload = event.payload
    names = settings.routes.get(payload["severity"], ())
    for channel in (item for item in settings.channels if item.name in names):
        # The console took it at the first try.
        if channel.name in silent or (channel.kind == "console" and event.attempts):
            continue
        try:
            send(channel, payload, say)
        except Unavailable as error:
            silent[channel.name] = str(error)
    unreached = [reason for name, reason in silent.items() if name in names]
    if unreached:
        raise Unavailable("; ".join(unreached))


def send(channel: Channel, payload: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """One message on one channel. Raises Unavailable."""
    if channel.kind == "console":
        say(f"{'resolved' if payload.get('status') == 'resolved' else payload['severity']}: {payload['title']}")
        return
    url = os.environ.get(channel.url_env or "")
    if not url:
        raise Unavailable(f"alert channel {channel.name}: environment variable {channel.url_env} is not set")
    if not url.startswith(("http://", "https://")):
        raise Unavailable(f"alert channel {channel.name}: {channel.url_env} does not hold an http(s) address")
    request = urllib.request.Request(  # noqa: S310  # scheme checked above
        url, orjson.dumps(payload), {"Content-Type": "application/json", "User-Agent": "flyball"}
    )
    try:
        urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S).close()  # noqa: S310
    except OSError as error:
        # The address is a secret: an error may name the channel and the reason, never the address.
        reason = type(error).__name__
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            reason = str(error.code)
        raise Unavailable(f"alert channel {channel.name}: webhook failed ({reason})") from None


def test_channel(project: Project, name: str) -> None:
    """Send a test message on one channel, now. Raises NotFound, Unavailable."""
    found = next((item for item in project.alerts.channels if item.name == name), None)
    if found is None:
        there = ", ".join(item.name for item in project.alerts.channels)
        raise NotFound(f"no alert channel {name!r} in flyball.toml (there is: {there})")
    payload = {
        "key": f"{project.model.name}:test",
        "model": project.model.name,
        "name": "test",
        "severity": "info",
        "status": "firing",
        "title": f"{project.model.name}: this is a test of channel {name}",
        "evidence": {},
    }
    send(found, payload, lambda line: print(line, file=sys.stderr))  # noqa: T201  # the console channel is the console


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
        "evidence": dict(evidence),
        # Kept elsewhere with the message, it bears witness against an audit that was cut short.
        "audit_head": chain.head(tx),
    }
    emit(tx, kind="alert", payload=payload, dedup=f"alert:{key}:{status}", at=at)

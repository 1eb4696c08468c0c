"""The table of deliveries: what was sent where, what waits and until when, what was refused and why.

waiting --claim--> sending --delivered--> delivered
   ^                  |-----away--------> waiting, later each time
   |                  '-----rejected----> refused --retry, or another process--> waiting
   '--- the sender died: sending that has run out is claimed again, and counted as a possible double
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from flyball.store import Database, Row, Transaction, moment, stamp

FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 3600.0
#: whoever is `sending` for longer than this has died: several times what the slowest channel may take.
CLAIM_S = 120.0
#: events in one message.
MOST_IN_BATCH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """One message that has not reached a channel, though it was tried."""

    event: int
    model: str
    channel: str
    status: str
    attempts: int
    next_at: datetime
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events that go out on one channel now, as one message."""

    id: int
    channel: str
    attempts: int
    #: as they lie in the outbox.
    events: tuple[int, ...]
    payloads: tuple[Mapping[str, Any], ...]


def wait_s(batch: int, channel: str, attempts: int, *, retry_after_s: float | None = None) -> float:
    """Seconds until the next try: 10 s doubled each time up to an hour, of which a part in [1/2, 1) drawn from what is
    sent, so that many senders do not come at once; never before the receiver asked for (at most a day).
    """
    drawn = hashlib.blake2b(f"{batch}:{channel}:{attempts}".encode(), digest_size=8).digest()
    part = 0.5 + int.from_bytes(drawn) / 2**65
    full = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 20))
    return max(full * part, min(retry_after_s or 0.0, 86_400.0))


def plan(
    tx: Transaction, *, event: int, channel: str, model: str, alert_key: str, status: str, next_at: datetime, error: str
) -> None:
    """Have an event sent on a channel, not before `next_at`; once."""
    tx.run(
        "INSERT INTO delivery (event, channel, model, alert_key, status, attempts, next_at, error, maybe_double)"
        " VALUES (:event, :channel, :model, :alert_key, :status, 0, :next_at, :error, 0)"
        " ON CONFLICT (event, channel) DO NOTHING",
        event=event,
        channel=channel,
        model=model,
        alert_key=alert_key,
        status=status,
        next_at=stamp(next_at),
        error=error or None,
    )


def planned(source: Transaction | Database, event: int) -> list[Row]:
    return source.all("SELECT channel, status, attempts, error FROM delivery WHERE event = :event", event=event)


def claim(tx: Transaction, *, model: str, channel: str, groups: bool, now: datetime) -> Batch | None:
    """What is due on a channel, marked as being sent. None where nothing is, or while an earlier message must wait:
    so no end of an alert overtakes its beginning.
    """
    rows = tx.all(
        "SELECT event, status, delivery.attempts, next_at, batch, payload FROM delivery JOIN outbox ON outbox.id = event"
        " WHERE model = :model AND channel = :channel AND status IN ('waiting', 'sending') ORDER BY event",
        model=model,
        channel=channel,
    )
    due = stamp(now)
    rows = [row for row in rows if row["attempts"] or row["next_at"] <= due]
    if not rows or rows[0]["next_at"] > due:
        return None
    first = rows[0]
    if first["batch"] is not None:
        taken = [row for row in rows if row["batch"] == first["batch"]]
    else:
        fresh = [row for row in rows if row["batch"] is None and row["status"] == "waiting" and row["next_at"] <= due]
        taken = fresh[: MOST_IN_BATCH if groups else 1]
    number = first["batch"] or first["event"]
    for row in taken:
        tx.run(
            "UPDATE delivery SET status = 'sending', attempts = attempts + 1, next_at = :until, batch = :batch,"
            " maybe_double = maybe_double + :double WHERE event = :event AND channel = :channel",
            until=stamp(now + timedelta(seconds=CLAIM_S)),
            batch=number,
            double=int(row["status"] == "sending"),
            event=row["event"],
            channel=channel,
        )
    payloads = tuple(orjson.loads(row["payload"]) for row in taken)
    return Batch(
        id=number,
        channel=channel,
        attempts=first["attempts"] + 1,
        events=tuple(row["event"] for row in taken),
        payloads=payloads,
    )


def settle(
    tx: Transaction,
    batch: Batch,
    *,
    status: str,
    now: datetime,
    error: str | None = None,
    next_at: datetime | None = None,
    process: str | None = None,
) -> None:
    """What became of a batch that was claimed. Nothing, where somebody else has claimed it since."""
    tx.run(
        "UPDATE delivery SET status = :status, error = :error, next_at = :next_at, process = :process,"
        " delivered_at = :delivered_at"
        " WHERE batch = :batch AND channel = :channel AND status = 'sending' AND attempts = :attempts",
        status=status,
        error=error[:500] if error else None,
        next_at=stamp(next_at or now),
        process=process,
        delivered_at=stamp(now) if status == "delivered" else None,
        batch=batch.id,
        channel=batch.channel,
        attempts=batch.attempts,
    )


def retry(
    tx: Transaction, *, now: datetime, model: str | None = None, channel: str | None = None, process: str | None = None
) -> int:
    """Have what was refused, or waits after a failure, sent again at the next beat; how many.

    `process`: only what another one was refused; this one may have another configuration.
    """
    return tx.run(
        "UPDATE delivery SET status = 'waiting', next_at = :now WHERE (status = 'refused'"
        " OR (status = 'waiting' AND attempts > 0 AND :process IS NULL))"
        " AND (:model IS NULL OR model = :model) AND (:channel IS NULL OR channel = :channel)"
        " AND (:process IS NULL OR coalesce(process, '') <> :process)",
        now=stamp(now),
        model=model,
        channel=channel,
        process=process,
    )


def channels(source: Transaction | Database) -> list[str]:
    """Every channel that a message was ever for."""
    return [row["channel"] for row in source.all("SELECT DISTINCT channel FROM delivery ORDER BY channel")]


def undelivered(database: Database, *, model: str | None = None) -> list[Undelivered]:
    """What was tried and not taken, oldest first."""
    rows = database.all(
        "SELECT event, model, channel, status, attempts, next_at, error FROM delivery"
        " WHERE (status = 'refused' OR (status IN ('waiting', 'sending') AND error IS NOT NULL))"
        " AND (:model IS NULL OR model = :model) ORDER BY event, channel",
        model=model,
    )
    return [Undelivered(**{**dict(row), "next_at": moment(row["next_at"])}) for row in rows]


def possible_doubles(database: Database) -> int:
    """How often a message may have been sent twice."""
    row = database.one("SELECT coalesce(sum(maybe_double), 0) AS doubles FROM delivery")
    return int(row["doubles"]) if row else 0

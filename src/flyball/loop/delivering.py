"""Brings alert events to channels: who hears what (routes, silences), when (grouping, repeats), and what became of it.

All channels are tried at the same time, each until it fails, for at most BEAT_SHARE_S a beat: a dead one holds up neither
the beat nor the others. A message is claimed in the database before it is sent and settled after.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flyball.errors import NotFound, Unavailable
from flyball.loop.alerts import due_again, end_alert, open_alert, tell_again
from flyball.loop.channels.kinds import KINDS, tell
from flyball.loop.channels.message import Message, label, read_message
from flyball.loop.channels.request import Away, Rejected
from flyball.loop.deliveries import Batch, claim, plan, planned, retry, settle, wait_s
from flyball.loop.silences import Silence, silenced, silences
from flyball.loop.site import Site
from flyball.pipeline.owner import this_process
from flyball.project.records import AlertSettings, Channel, Project
from flyball.store import Event, Transaction, stamp
from flyball.store.outbox import delivered, failed

#: what all channels together may take of one beat.
BEAT_SHARE_S = 10.0
#: batches a channel is sent in one beat at most.
MOST_ROUNDS = 20
#: the alert about a channel has this before the channel's name.
ABOUT_CHANNEL = "channel-"
#: a channel that was away this often is told of on the others.
TELL_AFTER_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a channel said to a batch; `error` None: it was taken."""

    batch: Batch
    error: Unavailable | None


def deliver_alerts(site: Site, events: list[Event], *, now: datetime) -> None:
    """One beat's deliveries: plan, claim, send, settle; again for the channels that took what they were sent."""
    with site.database.write() as tx:
        retry(tx, now=now, model=site.model, process=this_process())
        hushed = silences(tx, now)
        for event in events:
            if not planned(tx, event.id):
                _plan(tx, site, event, hushed, now)
        _repeat(tx, site, hushed, now)  # after what waits already is planned
    ends, channels = time.monotonic() + BEAT_SHARE_S, site.project.alerts.channels
    for _ in range(MOST_ROUNDS):
        outcomes = _round(site, channels, events, now, ends)
        taken = {item.batch.channel for item in outcomes if item.error is None}
        channels = tuple(channel for channel in channels if channel.name in taken)
        if not channels or time.monotonic() >= ends:
            return


def _round(site: Site, channels: tuple[Channel, ...], events: list[Event], now: datetime, ends: float) -> list[Outcome]:
    """One batch on each channel that has one due."""
    with site.database.write() as tx:
        batches = [_claim(tx, site, channel, now) for channel in channels]
    outcomes = _send([item for item in batches if item is not None], site, now, ends)
    if outcomes:
        with site.database.write() as tx:
            for outcome in outcomes:
                _settle(tx, site, outcome, now)
            tried = {number for outcome in outcomes for number in outcome.batch.events}
            for event in events:
                if event.id in tried:
                    _close(tx, event, now)
    return outcomes


def channels_for(payload: Mapping[str, object], settings: AlertSettings) -> tuple[str, ...]:
    """The channels that an event is for. What is wrong with a channel is told on the others, else on the console."""
    names = settings.routes.get(str(payload["severity"]), ())
    alert = str(payload["name"])
    if alert.startswith(ABOUT_CHANNEL):
        troubled = alert.removeprefix(ABOUT_CHANNEL)
        names = tuple(name for name in names if name != troubled) or ("console",)
    if payload["status"] != "acknowledged":
        return names
    kinds = {item.name: KINDS[item.kind] for item in settings.channels}
    return tuple(name for name in names if kinds[name].acknowledges)


def _plan(tx: Transaction, site: Site, event: Event, hushed: list[Silence], now: datetime) -> None:
    settings, payload = site.project.alerts, event.payload
    resolved = payload["status"] == "resolved"
    said = tx.all("SELECT channel, status FROM delivery WHERE alert_key = :key", key=payload["key"])
    quiet = silenced(hushed, model=payload["model"], name=payload["name"])
    if quiet and not said:
        if resolved:  # it began and ended in silence: nobody hears of either
            tx.run(
                "UPDATE outbox SET done_at = :at WHERE done_at IS NULL AND kind = 'alert' AND dedup LIKE :of",
                at=payload["at"],
                of=f"alert:{payload['key']}:%",
            )
        return  # it waits: told when the silence ends, if it goes on
    names = channels_for(payload, settings)
    if not names:
        delivered(tx, event, at=now)
    waits = settings.resolve_after_s if resolved else 0.0
    due = now + timedelta(seconds=max(waits, settings.group_wait_s))
    refused = {row["channel"] for row in said if row["status"] == "refused"}
    for channel in names:
        plan(
            tx,
            event=event.id,
            channel=channel,
            model=site.model,
            alert_key=payload["key"],
            status="refused" if channel in refused else "waiting",
            next_at=due,
            error="its beginning was refused" if channel in refused else "",
        )


def _repeat(tx: Transaction, site: Site, hushed: list[Silence], now: datetime) -> None:
    """Have alerts that go on told again, that nobody acknowledged and that are not silent."""
    every = site.project.alerts.repeat_s
    for alert in due_again(tx, site.model, every, now) if every is not None else ():
        if not silenced(hushed, model=site.model, name=alert.name):
            tell_again(tx, alert, now)


def _claim(tx: Transaction, site: Site, channel: Channel, now: datetime) -> tuple[Channel, Batch] | None:
    batch = claim(tx, model=site.model, channel=channel.name, groups=KINDS[channel.kind].groups, now=now)
    return None if batch is None else (channel, batch)


def _send(batches: list[tuple[Channel, Batch]], site: Site, now: datetime, ends: float) -> list[Outcome]:
    """All at once, a thread each. One that is not done in time counts as away."""
    done: dict[str, Outcome] = {}
    threads = []
    for channel, batch in batches:
        messages = [read_message(payload, site.project.alerts) for payload in batch.payloads]
        if channel.kind == "console":
            say(messages, site.say)
            done[channel.name] = Outcome(batch=batch, error=None)
            continue

        def work(channel: Channel = channel, batch: Batch = batch, messages: list[Message] = messages) -> None:
            done[channel.name] = Outcome(batch=batch, error=_tried(channel, messages, now))

        threads.append(threading.Thread(target=work, name=f"alert-{channel.name}", daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    late = [
        Outcome(batch=batch, error=Away(f"alert channel {channel.name}: no answer in {BEAT_SHARE_S:.0f} s"))
        for channel, batch in batches
        if channel.name not in done
    ]
    return [*list(done.values()), *late]


def _tried(channel: Channel, messages: list[Message], now: datetime) -> Unavailable | None:
    try:
        tell(channel, messages, now=now)
    except (Away, Rejected) as error:
        return error
    except Exception as error:  # noqa: BLE001  # one channel's trouble, whatever it is, is not the others'
        return Rejected(f"alert channel {channel.name}: unexpected {type(error).__name__}")
    return None


def say(messages: list[Message], line: Callable[[str], None]) -> None:
    """The console's way: a line a message."""
    for message in messages:
        line(f"{label(message)}: {message.title}")


def _settle(tx: Transaction, site: Site, outcome: Outcome, now: datetime) -> None:
    batch, error = outcome.batch, outcome.error
    about = f"{ABOUT_CHANNEL}{batch.channel}"
    if error is None:
        settle(tx, batch, status="delivered", now=now)
        why = f"{site.model}: alert channel {batch.channel} takes messages again"
        end_alert(tx, model=site.model, name=about, at=now, why=why)
        return
    if isinstance(error, Away):
        wait = wait_s(batch.id, batch.channel, batch.attempts, retry_after_s=error.retry_after_s)
        settle(tx, batch, status="waiting", now=now, error=str(error), next_at=now + timedelta(seconds=wait))
        if batch.attempts < TELL_AFTER_ATTEMPTS:
            return
    else:
        settle(tx, batch, status="refused", now=now, error=str(error), process=this_process())
    title = f"{site.model}: {error}; messages wait: mend it, then `flyball alert retry {batch.channel}`"
    evidence = {"channel": batch.channel, "error": str(error)}
    open_alert(tx, model=site.model, name=about, severity="warning", title=title, evidence=evidence, at=now)


def _close(tx: Transaction, event: Event, now: datetime) -> None:
    """An event is done when every channel has it; until then it stays, with the last reason."""
    rows = planned(tx, event.id)
    if all(row["status"] == "delivered" for row in rows):
        delivered(tx, event, at=now)
    elif errors := [row["error"] for row in rows if row["error"]]:
        failed(tx, event, error="; ".join(errors))


def test_channel(project: Project, name: str, *, now: datetime) -> None:
    """Send a test message on one channel, now, and end it. Raises NotFound, Unavailable."""
    found = next((item for item in project.alerts.channels if item.name == name), None)
    if found is None:
        there = ", ".join(item.name for item in project.alerts.channels)
        raise NotFound(f"no alert channel {name!r} in flyball.toml (there is: {there})")
    payload = {
        "key": f"{project.model.name}:test:{stamp(now)}",
        "model": project.model.name,
        "name": "test",
        "severity": "info",
        "status": "firing",
        "title": f"{project.model.name}: this is a test of channel {name}",
        "at": stamp(now),
        "evidence": {},
    }
    message = read_message(payload, project.alerts)
    if found.kind == "console":
        say([message], lambda line: print(line, file=sys.stderr))  # noqa: T201  # the console channel is the console
        return
    tell(found, [message], now=now)
    if found.kind in ("pagerduty", "alertmanager"):  # they keep what is open: nobody shall be called for a test
        tell(found, [replace(message, status="resolved", payload={**payload, "status": "resolved"})], now=now)

"""Delivers the outbox: alerts to their channels, stages to MLflow's aliases; picks up what people asked for."""

from __future__ import annotations

from datetime import datetime

from flyball.errors import FlyballError
from flyball.loop import projecting
from flyball.loop.alerts import end_alert, open_alert, open_evidence
from flyball.loop.delivering import deliver_alerts
from flyball.loop.site import Site
from flyball.serving import episodes
from flyball.store import Event, utcnow
from flyball.store.outbox import delivered, pending

#: the event a person's wish to retrain travels in; its payload: model, who, why.
RETRAIN_REQUESTED = "retrain_requested"


def deliver_pending(site: Site, *, now: datetime, aliases: bool = True) -> None:
    """Deliver this model's events, oldest first. What cannot be delivered stays, with the reason, for a later beat."""
    _take_journal_events(site)
    events = _mine(site)
    deliver_alerts(site, [event for event in events if event.kind == "alert"], now=now)
    with site.database.write() as tx:
        for event in events:
            if event.kind not in (RETRAIN_REQUESTED, "aliases", "alert"):
                delivered(tx, event, at=now)  # nobody listens to it
    if aliases:
        _deliver_aliases(site, now)


def _deliver_aliases(site: Site, now: datetime) -> None:
    """Have MLflow follow what has moved, and what it could not be told before."""
    if projecting.waiting(site.database, site.model):
        try:
            projecting.deliver(site.home, site.database, site.workers, site.model, uri=site.tracking_uri, now=now)
        except FlyballError:
            pass  # the outbox has it, and is looked at again at the next beat


def _take_journal_events(site: Site) -> None:
    """What serving workers tell of their journals becomes one alert: open while any worker's is in trouble."""
    for event in _mine(site):
        if event.kind != episodes.EVENT:
            continue
        said = event.payload
        with site.database.write() as tx:
            troubled = set(open_evidence(tx, model=site.model, name=episodes.EVENT).get("workers", ()))
            fires = said["status"] == "firing"
            troubled = troubled | {said["worker"]} if fires else troubled - {said["worker"]}
            if troubled:
                others = ", ".join(map(str, sorted(troubled)))
                open_alert(
                    tx,
                    model=site.model,
                    name=episodes.EVENT,
                    severity=said["severity"],
                    title=said["title"] if fires else f"{site.model}: worker {others}: the journal is in trouble still",
                    evidence={"workers": sorted(troubled)},
                    at=event.at,
                )
            else:
                end_alert(tx, model=site.model, name=episodes.EVENT, at=event.at, why=said["title"])
            delivered(tx, event, at=utcnow())


def requested_retrains(site: Site) -> list[Event]:
    """What people asked for since the last beat; to be marked as delivered in the transaction that begins their run."""
    return [event for event in _mine(site) if event.kind == RETRAIN_REQUESTED]


def wishes(asked: list[Event]) -> str:
    """Why they asked; several wishes are one."""
    return "; ".join(
        f"{event.payload.get('who', 'somebody')}: {event.payload.get('why', 'asked for')}" for event in asked
    )


def wishers(asked: list[Event]) -> str:
    """Who asked, each once, with ", " between."""
    return ", ".join(dict.fromkeys(str(event.payload.get("who", "somebody")) for event in asked))


def _mine(site: Site) -> list[Event]:
    return [event for event in pending(site.database) if event.payload.get("model") == site.model]

"""Delivers the outbox: alerts to their channels, stages to MLflow's aliases; picks up what people asked for."""

from __future__ import annotations

import shutil
from datetime import datetime

from flyball.errors import FlyballError, Unavailable
from flyball.loop.alerts import deliver, end_alert, open_alert, open_evidence
from flyball.loop.site import Site
from flyball.pipeline.step import RunContext, Window
from flyball.pipeline.task import Task
from flyball.registry import names
from flyball.registry.versions import versions
from flyball.serving import episodes
from flyball.store import Event, new_id, utcnow
from flyball.store.outbox import delivered, failed, pending

#: the event a person's wish to retrain travels in; its payload: model, who, why.
RETRAIN_REQUESTED = "retrain_requested"


def deliver_pending(site: Site, *, now: datetime) -> None:
    """Deliver this model's events, oldest first. What cannot be delivered stays, with the reason, for the next beat."""
    silent: dict[str, str] = {}
    _take_journal_events(site)
    projected = False
    for event in _mine(site):
        if event.kind == RETRAIN_REQUESTED:
            continue
        try:
            # One projection says all that has moved by now.
            if event.kind != "aliases" or not projected:
                _deliver(site, event, now, silent)
            projected |= event.kind == "aliases"
        except FlyballError as error:
            with site.database.write() as tx:
                failed(tx, event, error=str(error))
        else:
            with site.database.write() as tx:
                delivered(tx, event, at=utcnow())


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


def _deliver(site: Site, event: Event, now: datetime, silent: dict[str, str]) -> None:
    if event.kind == "alert":
        deliver(event, site.project.alerts, site.say, silent)
    elif event.kind == "aliases":
        _project_aliases(site, now)


def _project_aliases(site: Site, now: datetime) -> None:
    """In a step process, because mlflow is imported there already."""
    folder = site.home.runs / f".aliases-{new_id()}"
    context = RunContext(
        id="aliases",
        path=folder,
        folder=folder / "1",
        model=site.names(),
        refit=False,
        now=now,
        window=Window(start=None, end=now),
        params={},
        seed=0,
    )
    stages = {str(item.number): item.stage for item in versions(site.database, site.model)}
    told = [event for event in _mine(site) if event.kind == "aliases"]
    deleted = sorted({name for event in told for name in event.payload.get("deleted", ())})
    task = Task(
        name="aliases",
        target="flyball.loop.tracking:project_aliases",
        inputs={},
        given=(),
        constants={
            "name": site.model,
            "uri": site.tracking_uri,
            "stages": stages,
            "free": names.numbers(site.database, site.model),
            "deleted": deleted,
        },
        context=context,
        log=site.home.runs / f"{site.model}.aliases.log",
    )
    folder.mkdir(parents=True)
    try:
        outcome = site.workers.run(task, timeout_s=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if outcome.error is not None:
        raise Unavailable(f"MLflow's aliases could not be set: {outcome.error}")

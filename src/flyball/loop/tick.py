"""One beat of the loop for one project: carry, finish, watch, roll, govern, tell. `now` is given, so a year can be replayed.

Every part reads the database, decides purely, and writes one transaction; a loop killed between any two parts goes on
from the database, and what it repeats changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flyball.errors import Conflict, FlyballError
from flyball.journal import lake
from flyball.journal.carry import carry
from flyball.loop import diagnosing, governor, outside, release, rolling, watching
from flyball.loop.attempt import Release
from flyball.loop.governor import Past, Signal
from flyball.loop.registering import settle_approvals
from flyball.loop.schedule import latest_slot
from flyball.loop.site import Site
from flyball.loop.telling import deliver_pending, requested_retrains, wishers, wishes
from flyball.pipeline.runs import runs_of, unfinished
from flyball.pipeline.step import Window
from flyball.registry import decisions, holds, live
from flyball.registry.versions import version
from flyball.store import moment
from flyball.store.outbox import Event, delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one beat did, besides watching."""

    release: Release | None
    #: "v7 full" | "v7 aborted" | "v7 failed"; None when no rollout moved.
    rolled: str | None


def tick(site: Site, *, now: datetime, aliases: bool = True) -> Tick:
    """One beat. A failed run is recorded and told, and does not end the loop. `aliases`: have MLflow follow, too."""
    try:
        carry(site.home, site.database, now=now)
    except OSError:
        deliver_pending(site, now=now, aliases=aliases)  # what is wrong with the journal is told all the same
        raise
    finished = _finish_runs(site, now)
    watching.watch(site, now=now)
    settle_approvals(site, now)
    rolled = rolling.roll(site, now)
    done = _govern(site, now) if finished is None else finished
    outside.reconcile(site, now=now)
    deliver_pending(site, now=now, aliases=aliases)
    return Tick(release=done, rolled=rolled)


def _finish_runs(site: Site, now: datetime) -> Release | None:
    """Resume what a dead process left. A run whose owner lives is its owner's."""
    for run in unfinished(site.database, site.model):
        try:
            return release.resume(site, run.id, now=now)
        except Conflict:
            continue
        except FlyballError as error:
            site.say(f"run {run.id[:12]} failed: {error}")
    return None


def _govern(site: Site, now: datetime) -> Release | None:
    asked = requested_retrains(site)
    if asked and site.project.model.adopted:
        _no_pipeline(site, asked, now)
        return None
    if asked:
        with site.database.write() as tx:
            wanted = release.begin(
                tx,
                site,
                now=now,
                reason="manual",
                why=wishes(asked),
                window=Window(start=None, end=now),
                who=wishers(asked),
            )
            for event in asked:
                delivered(tx, event, at=now)
        return _carried_out(site, lambda: release.carry_out(site, wanted, now=now))
    past = _past(site, now)
    signals = list(_signals(site, past, now))
    ruling = governor.rule(signals, past, site.project.retrain, now)
    if ruling is None:
        return None
    with site.database.write() as tx:
        for signal in signals:
            decided = signal is ruling.signal
            decisions.decide(
                tx,
                model=site.model,
                at=now,
                kind="retrain",
                subject=f"{signal.trigger} {signal.identity}",
                verdict=ruling.act,
                reason=ruling.reason if decided else f"{signal.why}; with {ruling.signal.trigger}: {ruling.act}",
                evidence={"trigger": signal.trigger, "signal": signal.identity},
                dedup=_dedup(site, signal),
            )
        if ruling.act != "retrain":
            return None
        run = release.begin(
            tx, site, now=now, reason=ruling.signal.trigger, why=ruling.reason, window=Window(start=None, end=now)
        )
    return _carried_out(site, lambda: release.carry_out(site, run, now=now))


def _no_pipeline(site: Site, asked: list[Event], now: datetime) -> None:
    """A wish that nobody can fulfil is answered, once."""
    with site.database.write() as tx:
        for event in asked:
            decisions.decide(
                tx,
                model=site.model,
                at=now,
                kind="retrain",
                subject="manual",
                verdict="hold",
                reason=f"{wishes([event])}; not retrained: {release.NO_PIPELINE.format(model=site.model)}",
                evidence=dict(event.payload),
                dedup=f"retrain:{site.model}:manual:{event.payload.get('id')}",
            )
            delivered(tx, event, at=now)


def _carried_out(site: Site, work: Callable[[], Release]) -> Release | None:
    try:
        return work()
    except FlyballError as error:
        site.say(f"run failed: {error}")
        return None


def _signals(site: Site, past: Past, now: datetime) -> Iterator[Signal]:
    """What asks for a retrain and has not been considered yet."""
    for signal in (*_schedule(site, now), *watching.signals(site), *_volume(site, past, now)):
        if not decisions.decided(site.database, _dedup(site, signal)):
            yield signal


def _schedule(site: Site, now: datetime) -> Iterator[Signal]:
    pipeline = site.project.pipeline
    if pipeline.schedule is None:
        return
    slot = latest_slot(pipeline.schedule, pipeline.timezone, after=_schedule_considered(site), now=now)
    if slot is not None:
        local = slot.astimezone(ZoneInfo(pipeline.timezone))
        why = f"schedule {pipeline.schedule} ({local:%a %H:%M})"
        yield Signal(trigger="schedule", identity=_minute(slot), why=why)


def _schedule_considered(site: Site) -> datetime:
    """Up to when slots have been considered: the last scheduled ruling, else the first run, else the project's arrival."""
    row = site.database.one(
        "SELECT coalesce("
        " (SELECT max(at) FROM decision WHERE model = :model AND kind = 'retrain' AND subject LIKE 'schedule %'),"
        " (SELECT min(decided_at) FROM run WHERE model = :model),"
        " (SELECT added_at FROM project WHERE name = :model)) AS since",
        model=site.model,
    )
    assert row is not None
    return moment(row["since"])


def _volume(site: Site, past: Past, now: datetime) -> Iterator[Signal]:
    """Rows are a level, no event: it is looked at once the cooldown is over, and where held, again at the next multiple."""
    settings, deployed = site.project.retrain, live.current(site.database, site.model)
    if past.last_run is None or deployed is None or not governor.cooled_down(past, settings, now):
        return
    trained = version(site.database, site.model, deployed.live).lineage.data_rows
    wanted = governor.rows_wanted(settings, trained, last_refused=past.last_refused)
    if wanted is None:
        return
    count = _new_labels(site, past.last_run, now)
    if count >= wanted:
        times = count // wanted
        identity = _minute(past.last_run) + (f" x{times}" if times > 1 else "")
        why = f"{count:,} new outcomes, {wanted:,} make a retrain (v{deployed.live} learnt from {trained:,} rows)"
        yield Signal(trigger="volume", identity=identity, why=why)


def _past(site: Site, now: datetime) -> Past:
    settings = site.project.retrain
    runs = [run for run in runs_of(site.database, site.model) if run.status != "failed"]
    last = runs[0].decided_at if runs else None
    since = now - timedelta(seconds=settings.budget_window_s)
    return Past(
        last_run=last,
        last_refused=bool(runs) and runs[0].status == "refused",
        runs_in_budget=sum(run.decided_at > since and run.reason != "first" for run in runs),
        in_flight=any(run.status == "running" for run in runs),
        new_labels=_new_labels(site, last, now) if settings.min_new_labels and last else settings.min_new_labels,
        broken=diagnosing.broken_now(site),
        held=str(held) if (held := holds.held(site.database, site.model, now)) else None,
    )


def _new_labels(site: Site, since: datetime, now: datetime) -> int:
    return int(lake.outcomes(site.home, site.model, since, now).num_rows)


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%MZ")


def _dedup(site: Site, signal: Signal) -> str:
    return f"retrain:{site.model}:{signal.trigger}:{signal.identity}"

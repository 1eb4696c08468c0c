"""Watches the windows that have closed: drift at once, performance when labels are mature; alerts; signals for the governor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from flyball.loop import diagnosing
from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.calm import calm
from flyball.loop.governor import Signal
from flyball.loop.performing import keep_performance
from flyball.loop.site import Site
from flyball.monitor.diagnosis import Diagnosis
from flyball.monitor.watch import pass_over_drift, watch_drift
from flyball.monitor.windows import Window, due_windows, window_name
from flyball.registry import live
from flyball.registry.decisions import decisions
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.stats.drift import DriftVerdict
from flyball.stats.profile import Reference
from flyball.stats.profile_file import reference_from_bytes
from flyball.store import moment, utcnow

#: a window's verdict counts as a signal while it is among this many newest.
RECENT = 3
#: windows judged in one beat: a loop that was away for years catches up in small steps.
MOST_AT_ONCE = 60


def watch(site: Site, *, now: datetime) -> None:
    """Judge every window that has closed and was not judged yet, oldest first."""
    past = live.history(site.database, site.model)
    if not past:
        return
    first = past[0].at
    settings = site.project.monitor
    zone = site.project.pipeline.timezone
    windows = due_windows(first, _last(site, "drift"), now, settings.window_s, 0, zone)[:MOST_AT_ONCE]

    def drift() -> None:
        for window in windows:
            _watch_drift(site, window)

    keep_performance(site.home, site.database, site.project, now=now, meanwhile=drift)
    diagnosing.diagnose_mature(site, now=now)


def signals(site: Site) -> Iterator[Signal]:
    """Windows whose diagnosis asks for a retrain, and broken promises, among the newest."""
    for window in _newest(site, "drift", "drift"):
        day = window_name(window)
        found = diagnosing.of_closed(site, day)
        if found is None or found.action == "retrain":
            yield Signal(trigger="drift", identity=day, why=f"drift on {day}: {_told(site, 'drift', day)}")
    for window in _newest(site, "performance", "below"):
        day = window_name(window)
        broken = (found := diagnosing.of_closed(site, day)) is not None and found.cause == "broken_data"
        if not broken:  # answers to broken data are no fault of the model
            yield Signal(
                trigger="performance", identity=day, why=f"promise broken on {day}: {_told(site, 'performance', day)}"
            )


def _watch_drift(site: Site, window: tuple[datetime, datetime]) -> None:
    """Against the reference of the version that was live when the window closed."""
    serving = _live_version(site, window[1])
    if serving is None:
        return
    profile = site.home.path / serving.bundle / "profile.json"
    if not profile.exists():
        why = f"v{serving.number} has no reference profile: its gate had refused it, and it was promoted by hand"
        pass_over_drift(
            site.database, model=site.model, version=serving.number, window=window, why=why, recorded_at=utcnow()
        )
        return
    verdict = watch_drift(
        site.database,
        site.home,
        model=site.model,
        version=serving.number,
        reference=_reference(profile),
        window=window,
        settings=site.project.monitor,
        recorded_at=utcnow(),
        # What the journal hashes or drops has no values to compare.
        withheld=tuple(name for name, policy in site.project.columns.items() if policy != "keep"),
    )
    found = diagnosing.diagnose_closed(site, window, serving, _reference(profile), verdict)
    _tell_drift(site, window, serving, verdict, found)


def _tell_drift(
    site: Site, window: tuple[datetime, datetime], serving: Version, verdict: DriftVerdict, found: Diagnosis
) -> None:
    """Drift and broken data have an alert each; broken data are no drift."""
    day, at, model = window_name(window), window[1], site.model
    moved = (*verdict.alarming, *verdict.alarming_in_slices)
    evidence = {"day": day, "features": list(moved), "rows": verdict.rows, "version": serving.number}
    told = {**evidence, "diagnosis": found.cause, "action": found.action, "reason": found.reason}
    with site.database.write() as tx:
        if found.cause == "broken_data":
            title = (
                f"{model}: broken data on {day}: {found.reason.removeprefix('broken data: ')}; no retrain until they are "
                f"whole; live: v{serving.number}"
            )
            open_alert(tx, model=model, name="broken_data", severity="critical", title=title, evidence=told, at=at)
        elif verdict.verdict == "drift":
            names = ", ".join(moved[:3])
            steady = len(verdict.features) - len(verdict.alarming)
            title = (
                f"{model}: inputs drifted on {day}: {names} ({steady} steady); {found.reason}; default: {found.action}; "
                f"live: v{serving.number}"
            )
            open_alert(tx, model=model, name="drift", severity="warning", title=title, evidence=told, at=at)
    if calm(site.database, site.model, "drift", ("steady",)):
        with site.database.write() as tx:
            end_alert(tx, model=model, name="drift", at=at, why=f"{model}: inputs steady on {day}")
    if found.cause != "broken_data" and verdict.verdict != "cannot_judge":
        with site.database.write() as tx:
            end_alert(tx, model=model, name="broken_data", at=at, why=f"{model}: data whole again on {day}")


def _told(site: Site, kind: Literal["drift", "performance"], day: str) -> str:
    """The sentence the day's verdict was recorded with."""
    found = decisions(site.database, site.model, kind=kind, subject=day, limit=1)
    return found[0].reason if found else "see `flyball monitor`"


def _newest(site: Site, kind: str, verdict: str) -> list[Window]:
    """Of the newest mature windows of a kind those that have this verdict."""
    rows = site.database.all(
        'SELECT start, ends, verdict FROM "window" WHERE model = :model AND kind = :kind AND mature = 1'
        " ORDER BY start DESC LIMIT :recent",
        model=site.model,
        kind=kind,
        recent=RECENT,
    )
    return [(moment(row["start"]), moment(row["ends"])) for row in rows if row["verdict"] == verdict]


def _last(site: Site, kind: str) -> datetime | None:
    """The end of the newest window judged; None before the first."""
    row = site.database.one(
        'SELECT max(ends) AS ends FROM "window" WHERE model = :model AND kind = :kind', model=site.model, kind=kind
    )
    return moment(row["ends"]) if row and row["ends"] else None


def _live_version(site: Site, at: datetime) -> Version | None:
    deployed = live.live_at(site.database, site.model, at)
    return None if deployed is None else version(site.database, site.model, deployed.live)


@lru_cache(maxsize=8)
def _reference(path: Path) -> Reference:
    """Bundles never change, so a path stands for its content."""
    return reference_from_bytes(path.read_bytes())

"""Diagnoses windows and writes it down: by their inputs when they close, by all of it once their labels are mature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

import orjson

from flyball.journal import lake
from flyball.journal.refused import refused
from flyball.loop.importance import kept_importance
from flyball.loop.site import Site
from flyball.monitor.diagnosis import Diagnosis, Labels, by_inputs, diagnosis_from_json, with_labels
from flyball.monitor.faults import Broken
from flyball.monitor.inputs import broken_inputs
from flyball.monitor.refused import Refused, refused_from_json, too_many
from flyball.monitor.windows import Window, window_name
from flyball.registry.decisions import decide, decided, decisions
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.stats.drift import DriftVerdict
from flyball.stats.estimate import Estimate
from flyball.stats.names import GREATER_IS_BETTER
from flyball.stats.profile import Reference
from flyball.store import Row, moment

#: mature windows looked at in one beat, and earlier gaps that one is held against.
MOST_AT_ONCE = 60
EARLIER = 60


def diagnose_closed(
    site: Site, window: Window, serving: Version, reference: Reference, verdict: DriftVerdict
) -> Diagnosis:
    """By the inputs alone, those that were refused too. `verdict`: on the window's rows against `serving`'s reference.

    Written once a window.
    """
    requests, columns = refused(site.home, site.model, *window)
    seen = Refused(requests=requests, columns=columns)
    faults = _refused(site, seen, window, verdict.level) if columns else ()
    rows = lake.predictions(site.home, site.model, *window) if verdict.verdict == "drift" else None
    if rows is not None:
        named = {item.feature for item in faults}
        faults += tuple(item for item in broken_inputs(reference, rows, verdict) if item.feature not in named)
    found = by_inputs(verdict, faults, importance=kept_importance(site.home.path / serving.bundle))
    _keep(site, window, serving.number, found, "closed", at=window[1], refused=seen)
    return found


def _refused(site: Site, seen: Refused, window: Window, level: float) -> tuple[Broken, ...]:
    """What was refused more often than in the windows before that were whole."""
    earlier = [
        refused_from_json(item.evidence["refused"])
        for item in decisions(site.database, site.model, kind="diagnosis", limit=2 * EARLIER)
        if "refused" in item.evidence and item.verdict != "broken_data" and item.subject != window_name(window)
    ]
    return too_many(seen, earlier[:EARLIER], level)


def diagnose_mature(site: Site, *, now: datetime) -> None:
    """By inputs and labels, every window whose labels have come and that was not diagnosed so yet, oldest first."""
    rows = site.database.all(
        "SELECT start, ends, version, verdict, evidence FROM \"window\" WHERE model = :model AND kind = 'performance'"
        " AND mature = 1 ORDER BY start DESC LIMIT :most",
        model=site.model,
        most=MOST_AT_ONCE,
    )
    for row in reversed(_new(site, rows)):
        window = (moment(row["start"]), moment(row["ends"]))
        before = of_closed(site, window_name(window))
        if before is None or not row["version"]:
            continue
        labels = _labels(site, row["version"], row["verdict"], orjson.loads(row["evidence"]))
        found = with_labels(before, labels, level=site.project.monitor.false_alarms_per_window)
        _keep(site, window, row["version"], found, "mature", at=now)


def _new(site: Site, rows: Sequence[Row]) -> list[Row]:
    """The windows before the first, counted from the newest, that was diagnosed already."""

    def done(row: Row) -> bool:
        name = window_name((moment(row["start"]), moment(row["ends"])))
        return decided(site.database, _dedup(site, name, "mature"))

    return list(takewhile(lambda row: not done(row), rows))


def of_closed(site: Site, day: str) -> Diagnosis | None:
    """The diagnosis of a window by its inputs; None where it has none."""
    found = decisions(site.database, site.model, kind="diagnosis", subject=day)
    return next((diagnosis_from_json(item.evidence) for item in found if item.evidence["labels"] == "closed"), None)


def broken_now(site: Site) -> str | None:
    """What is broken in the newest window, in a clause; None where it is whole or was not diagnosed."""
    found = decisions(site.database, site.model, kind="diagnosis", limit=EARLIER)
    closed = [item for item in found if item.evidence["labels"] == "closed" and item.verdict != "cannot_judge"]
    newest = max(closed, key=lambda item: item.at, default=None)
    if newest is None or newest.verdict != "broken_data":
        return None
    return f"{newest.reason} (on {newest.subject})"


def _labels(site: Site, number: int, verdict: str, evidence: Mapping[str, Any]) -> Labels:
    below, gap = {"below": True, "kept": False}.get(verdict), evidence.get("gap")
    earlier = [
        item.evidence["gap"]
        for item in decisions(site.database, site.model, kind="diagnosis", limit=2 * EARLIER)
        if item.evidence["labels"] == "mature" and item.evidence["gap"] is not None
    ]
    return Labels(
        below=below,
        reason=str(evidence.get("reason", "")),
        loss=_loss(site, number, evidence),
        gap=Estimate(**gap) if gap is not None and gap["value"] is not None else None,
        earlier_gaps=earlier[:EARLIER],
        estimated_below=_estimated_below(site, evidence.get("estimated")),
    )


def _estimated_below(site: Site, estimated: Mapping[str, Any] | None) -> bool | None:
    """Whether the whole interval of what was estimated without labels lies on the alarm's side of the promise, or none of it.

    None: no promise, of another metric than is estimated, nothing estimated, or on both sides.
    """
    rule = site.project.retrain.performance
    if rule is None or estimated is None or rule.metric != site.project.model.primary_metric:
        return None
    low, high = estimated["low"], estimated["high"]
    if low is None or high is None:
        return None
    worst, best = (low, high) if rule.comparison in ("<", "<=") else (-high, -low)
    bound = rule.value if rule.comparison in ("<", "<=") else -rule.value
    return True if best < bound else False if worst > bound else None


def _loss(site: Site, number: int, evidence: Mapping[str, Any]) -> float | None:
    """How much worse than on its held-out rows, by the promise's metric, else the primary one."""
    rule = site.project.retrain.performance
    metric = rule.metric if rule is not None else site.project.model.primary_metric
    held = version(site.database, site.model, number).metrics.get(metric)
    measured = next(
        (
            item["value"]
            for item in evidence.get("metrics", ())
            if item["version"] == number and item["metric"] == metric and item["value"] is not None
        ),
        None,
    )
    if held is None or measured is None:
        return None
    return float(held.value - measured if GREATER_IS_BETTER[metric] else measured - held.value)


def _keep(
    site: Site,
    window: Window,
    number: int,
    found: Diagnosis,
    labels: str,
    *,
    at: datetime,
    refused: Refused | None = None,
) -> None:
    day = window_name(window)
    more = {} if refused is None else {"refused": refused.to_json()}
    with site.database.write() as tx:
        decide(
            tx,
            model=site.model,
            at=at,
            kind="diagnosis",
            subject=day,
            verdict=found.cause,
            reason=f"{found.reason}; default: {found.action}",
            evidence={**found.to_json(), "version": number, "labels": labels, **more},
            dedup=_dedup(site, day, labels),
        )


def _dedup(site: Site, day: str, labels: str) -> str:
    return f"diagnosis:{site.model}:{day}:{labels}"

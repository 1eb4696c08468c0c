"""Judges one window and writes down what was found: window, metrics and decision, in one transaction, once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import orjson

from flyball.journal import lake
from flyball.monitor.inputs import judge_inputs, told
from flyball.monitor.performance import PerformanceVerdict, judge_performance, metrics_json
from flyball.monitor.windows import Window, window_name
from flyball.project.records import MonitorSettings
from flyball.project.rules import Rule
from flyball.registry.decisions import decide
from flyball.stats.drift import DriftVerdict
from flyball.stats.profile import Reference
from flyball.store import Database, Home, Transaction, stamp


def watch_drift(
    database: Database,
    home: Home,
    *,
    model: str,
    version: int,
    reference: Reference,
    window: Window,
    settings: MonitorSettings,
    recorded_at: datetime,
    withheld: Collection[str] = (),
) -> DriftVerdict:
    """Judge the window's live rows against `version`'s reference; a window and a decision are written.

    `withheld`: features the journal hashes or drops; not judged. What is written stays: a second call changes nothing.
    """
    with lake.inputs(home, model, *window) as rows:
        verdict = judge_inputs(reference, rows, version=version, settings=settings, withheld=withheld)
    evidence = {**verdict.to_json(), "version": version}
    with database.write() as tx:
        _keep_window(tx, model, "drift", window, version, verdict.verdict, verdict.rows, evidence, recorded_at)
        decide(
            tx,
            model=model,
            at=window[1],
            kind="drift",
            subject=window_name(window),
            verdict=verdict.verdict,
            reason=told(verdict),
            evidence=evidence,
            dedup=f"drift:{model}:{window_name(window)}",
        )
    return verdict


def pass_over_drift(
    database: Database, *, model: str, version: int, window: Window, why: str, recorded_at: datetime
) -> None:
    """Record that a window's inputs cannot be judged, and why: a gap is never silence."""
    evidence = {"version": version, "reason": why}
    with database.write() as tx:
        _keep_window(tx, model, "drift", window, version, "cannot_judge", 0, evidence, recorded_at)
        decide(
            tx,
            model=model,
            at=window[1],
            kind="drift",
            subject=window_name(window),
            verdict="cannot_judge",
            reason=why,
            evidence=evidence,
            dedup=f"drift:{model}:{window_name(window)}",
        )


def watch_performance(
    database: Database,
    home: Home,
    *,
    model: str,
    task: str,
    window: Window,
    known_by: datetime,
    rule: Rule | None,
    confidence: float,
    recorded_at: datetime,
    classes: tuple[str, ...] | None = None,
    positive: str | None = None,
) -> PerformanceVerdict:
    """Judge the window by the outcomes known by `known_by`; metrics and a window are written, a decision if below.

    `classes`: the labels of a multiclass model; None = those that occur. `positive`: of a binary one, what
    counts as 1. A later call with more outcomes replaces metrics and window; with the same ones it changes nothing.
    """
    scored = lake.scored(home, model, *window, known_by=known_by, positive=positive)
    verdict = judge_performance(scored, task=task, classes=classes, rule=rule, confidence=confidence)
    day, metrics = window_name(window), metrics_json(verdict)
    evidence = {
        "reason": verdict.reason,
        "promise": rule.text if rule else None,
        "labels": verdict.labels,
        "known_by": stamp(known_by),
        "metrics": metrics,
    }
    with database.write() as tx:
        for metric in metrics:
            _keep_metric(tx, model, day, metric)
        version = verdict.version or 0
        _keep_window(tx, model, "performance", window, version, verdict.verdict, verdict.rows, evidence, recorded_at)
        if verdict.verdict == "below":
            decide(
                tx,
                model=model,
                at=known_by,
                kind="performance",
                subject=day,
                verdict="below",
                reason=verdict.reason,
                evidence={**evidence, "version": version},
                dedup=f"performance:{model}:{day}",
            )
    return verdict


_FIRST = """
INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence)
VALUES (:model, :kind, :start, :ends, :version, :verdict, :rows, :recorded_at, :evidence)
ON CONFLICT (model, kind, start) DO NOTHING
"""

_NEWEST = """
INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence)
VALUES (:model, :kind, :start, :ends, :version, :verdict, :rows, :recorded_at, :evidence)
ON CONFLICT (model, kind, start) DO UPDATE SET version = excluded.version, verdict = excluded.verdict,
  rows = excluded.rows, recorded_at = excluded.recorded_at, evidence = excluded.evidence
WHERE "window".evidence <> excluded.evidence
"""


def _keep_window(
    tx: Transaction,
    model: str,
    kind: str,
    window: Window,
    version: int,
    verdict: str,
    rows: int,
    evidence: dict[str, Any],
    recorded_at: datetime,
) -> None:
    """A drift window is kept as first judged; a performance window as judged with the newest outcomes."""
    tx.run(
        _FIRST if kind == "drift" else _NEWEST,
        model=model,
        kind=kind,
        start=stamp(window[0]),
        ends=stamp(window[1]),
        version=version,
        verdict=verdict,
        rows=rows,
        recorded_at=stamp(recorded_at),
        evidence=orjson.dumps(evidence).decode(),
    )


def _keep_metric(tx: Transaction, model: str, day: str, metric: dict[str, Any]) -> None:
    tx.run(
        "INSERT INTO metrics_daily (model, version, variant, date, metric, value, low, high, rows)"
        " VALUES (:model, :version, :variant, :date, :metric, :value, :low, :high, :rows)"
        " ON CONFLICT (model, version, variant, date, metric)"
        " DO UPDATE SET value = excluded.value, low = excluded.low, high = excluded.high, rows = excluded.rows",
        model=model,
        date=day,
        **metric,
    )

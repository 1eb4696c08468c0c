"""Judges one window's inputs and writes down what was found: window and decision, in one transaction, once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import orjson

from flyball.journal import lake
from flyball.monitor.inputs import judge_inputs, told
from flyball.monitor.windows import Window, window_name
from flyball.project.records import MonitorSettings
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
        verdict = judge_inputs(reference, rows, version=version, window=window, settings=settings, withheld=withheld)
    evidence = {**verdict.to_json(), "version": version}
    with database.write() as tx:
        _keep_window(tx, model, window, version, verdict.verdict, verdict.rows, evidence, recorded_at)
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
        _keep_window(tx, model, window, version, "cannot_judge", 0, evidence, recorded_at)
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


_FIRST = """
INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence)
VALUES (:model, 'drift', :start, :ends, :version, :verdict, :rows, :recorded_at, :evidence)
ON CONFLICT (model, kind, start) DO NOTHING
"""


def _keep_window(
    tx: Transaction,
    model: str,
    window: Window,
    version: int,
    verdict: str,
    rows: int,
    evidence: dict[str, Any],
    recorded_at: datetime,
) -> None:
    """A drift window is kept as first judged."""
    tx.run(
        _FIRST,
        model=model,
        start=stamp(window[0]),
        ends=stamp(window[1]),
        version=version,
        verdict=verdict,
        rows=rows,
        recorded_at=stamp(recorded_at),
        evidence=orjson.dumps(evidence).decode(),
    )

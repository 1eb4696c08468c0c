"""Writes down what was found of a window's performance: window, daily metrics and decisions, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from flyball.monitor.measured import Measured
from flyball.monitor.performance import PerformanceVerdict, estimate_json, known, metrics_json
from flyball.monitor.question import Question, due_at
from flyball.monitor.windows import Window, window_name
from flyball.registry.decisions import decide
from flyball.store import Database, Row, Transaction, stamp


def evidence_of(question: Question, verdict: PerformanceVerdict, known_by: datetime) -> dict[str, Any]:
    """What the verdict rests on, as JSON."""
    return {
        "reason": verdict.reason,
        "promise": question.rule.text if question.rule else None,
        "labels": verdict.labels,
        "mature": verdict.mature,
        "known_by": stamp(known_by),
        "primary": question.primary,
        "measured": estimate_json(verdict.found),
        "estimated": estimate_json(verdict.estimated),
        "promised": estimate_json(verdict.promised),
        "concept": verdict.concept,
        "concept_why": verdict.concept_why,
        "changes": [
            {
                "detector": item.detector,
                "at": stamp(item.at),
                "before": known(item.before),
                "after": known(item.after),
                "confirmed": item.confirmed,
            }
            for item in verdict.changes
        ],
        "metrics": metrics_json(verdict),
    }


def write_performance(
    database: Database,
    question: Question,
    window: Window,
    verdict: PerformanceVerdict,
    measured: Sequence[Measured],
    evidence: dict[str, Any],
    known_by: datetime,
    recorded_at: datetime,
) -> None:
    """A later call with other evidence replaces window and metrics; a decision is written once."""
    day = window_name(window)
    coming = [due for item in question.outcomes if (due := due_at(question, item, window)) > known_by]
    with database.write() as tx:
        before = tx.one(
            'SELECT verdict, mature, rows, evidence FROM "window"'
            " WHERE model = :model AND kind = 'performance' AND start = :start",
            model=question.model,
            start=stamp(window[0]),
        )
        evidence |= {"reopened": _reopened(before, verdict.rows)}
        _keep_metrics(tx, question.model, day, measured)
        _keep_window(tx, question.model, window, verdict, evidence, min(coming, default=None), recorded_at)
        for kind, said, why in _decisions(verdict, before):
            decide(
                tx,
                model=question.model,
                at=known_by,
                kind="performance",
                subject=day,
                verdict=said,
                reason=why,
                evidence={**evidence, "version": verdict.version or 0},
                dedup=f"performance:{question.model}:{day}{kind}",
            )


def _reopened(before: Row | None, rows: int) -> dict[str, int] | None:
    """That predictions came, or went to another version, after the window was first judged: its rows then and now."""
    if before is None:
        return None
    kept: dict[str, int] | None = orjson.loads(before["evidence"]).get("reopened")
    first = kept["rows_first"] if kept else before["rows"]
    return {"rows_first": first, "rows_now": rows} if first != rows else kept


def _decisions(verdict: PerformanceVerdict, before: Row | None) -> list[tuple[str, str, str]]:
    """(end of the dedup key, verdict, reason) of what has to be told of this window."""
    if not verdict.mature:
        return []
    found = []
    if verdict.verdict == "below":
        found.append(("", "below", verdict.reason))
    was = before["verdict"] if before is not None and before["mature"] else None
    if was is not None and was != verdict.verdict and "below" in (was, verdict.verdict):
        again = f"judged again with {verdict.labels} labels: {verdict.verdict}, was {was}; {verdict.reason}"
        found.append((f":{was}:{verdict.verdict}:{verdict.labels}", verdict.verdict, again))
    if verdict.concept == "drift":
        found.append(
            (":concept", "concept_drift", f"what v{verdict.version} learnt holds no more: {verdict.concept_why}")
        )
    return found


_NEWEST = """
INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence, mature, due_at)
VALUES (:model, 'performance', :start, :ends, :version, :verdict, :rows, :recorded_at, :evidence, :mature, :due_at)
ON CONFLICT (model, kind, start) DO UPDATE SET version = excluded.version, verdict = excluded.verdict, ends = excluded.ends,
  rows = excluded.rows, recorded_at = excluded.recorded_at, evidence = excluded.evidence, mature = excluded.mature,
  due_at = excluded.due_at
WHERE "window".evidence <> excluded.evidence
"""


def _keep_window(
    tx: Transaction,
    model: str,
    window: Window,
    verdict: PerformanceVerdict,
    evidence: Mapping[str, Any],
    due: datetime | None,
    recorded_at: datetime,
) -> None:
    tx.run(
        _NEWEST,
        model=model,
        start=stamp(window[0]),
        ends=stamp(window[1]),
        version=verdict.version or 0,
        verdict=verdict.verdict,
        rows=verdict.rows,
        recorded_at=stamp(recorded_at),
        evidence=orjson.dumps(evidence, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        mature=int(verdict.mature),
        due_at=stamp(due) if due else None,
    )


def _keep_metrics(tx: Transaction, model: str, day: str, measured: Sequence[Measured]) -> None:
    """The day's figures, whole: what is no longer so does not stay. Estimates stay where no others are given."""
    tx.run(
        "DELETE FROM metrics_daily WHERE model = :model AND date = :day AND (:estimated OR basis <> 'estimate')",
        model=model,
        day=day,
        estimated=any(item.basis == "estimate" for item in measured),
    )
    for item in measured:
        tx.run(
            "INSERT INTO metrics_daily"
            " (model, version, variant, date, slice, basis, metric, value, low, high, rows, answered, mature)"
            " VALUES (:model, :version, :variant, :day, :slice, :basis, :metric, :value, :low, :high, :rows, :answered,"
            " :mature)",
            model=model,
            version=item.version,
            variant=item.variant,
            day=day,
            slice=item.slice,
            basis=item.basis,
            metric=item.metric,
            value=known(item.value.value),
            low=known(item.value.low),
            high=known(item.value.high),
            rows=item.value.rows,
            answered=item.answered,
            mature=int(item.mature),
        )

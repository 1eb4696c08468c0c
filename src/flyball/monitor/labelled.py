"""Judges one window by what came true and writes it down: window, daily metrics and decision, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from flyball.errors import NotFound, Unavailable
from flyball.journal import lake
from flyball.monitor import streams
from flyball.monitor.concept import JUDGES, Concept, Grounds, with_changes
from flyball.monitor.estimators import Estimator, estimator_of
from flyball.monitor.measured import (
    Measured,
    foretold_gap,
    measure_outcome,
    measure_without_labels,
    with_missing_as_zero,
)
from flyball.monitor.performance import PerformanceVerdict, estimate_json, judge_performance, known, metrics_json
from flyball.monitor.recent import MOST_ROWS, STREAM, Stretch, followed, stretch_of
from flyball.monitor.windows import Window, window_name
from flyball.project.records import OutcomeSettings
from flyball.project.rules import Rule
from flyball.registry.decisions import decide
from flyball.registry.versions import version as registered
from flyball.stats.estimate import Estimate
from flyball.stats.estimated import BLIND
from flyball.store import Database, Home, Row, Transaction, stamp

LABEL = OutcomeSettings(name="label", kind="label", window_s=None, missing="unknown")

#: own earlier days that a window is compared with, the newest.
EARLIER_DAYS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model's windows are judged by; the same for all of them."""

    model: str
    task: str
    rule: Rule | None
    confidence: float
    #: the labels of a multiclass model; None = those that occur.
    classes: tuple[str, ...] | None = None
    #: of a binary model, what counts as 1.
    positive: str | None = None
    primary: str | None = None
    slices: tuple[str, ...] = ()
    outcomes: tuple[OutcomeSettings, ...] = (LABEL,)
    #: after a window's end, when its labels are complete as far as the settings know.
    label_delay_s: float = 0.0
    false_alarms: float = 0.01

    @property
    def label(self) -> OutcomeSettings:
        return next((item for item in self.outcomes if item.kind == "label"), LABEL)


def due_at(question: Question, outcome: OutcomeSettings, window: Window) -> datetime:
    """When an outcome of the window's predictions has had its time: its own window, else the label's delay; of the label both."""
    delay_s = question.label_delay_s if outcome.window_s is None else outcome.window_s
    if outcome.kind == "label":
        delay_s = max(delay_s, question.label_delay_s)
    return window[1] + timedelta(seconds=delay_s)


def watch_performance(
    database: Database, home: Home, question: Question, *, window: Window, known_by: datetime, recorded_at: datetime
) -> PerformanceVerdict:
    """Judge the window by the outcomes known by `known_by`; metrics and window are written, and a decision where it is below,
    where what the model learnt holds no more, or where a mature verdict was taken back.

    A later call with more outcomes replaces metrics and window; with the same ones it changes nothing.
    """
    scored, too_late = _scored(home, question, question.label, window, known_by)
    mature = due_at(question, question.label, window) <= known_by
    answered = sorted(set(scored["version"].to_pylist()))
    verdict = judge_performance(
        scored,
        task=question.task,
        classes=question.classes,
        rule=question.rule,
        confidence=question.confidence,
        mature=mature,
        slices=question.slices,
        primary=question.primary,
        grounds={number: _grounds(database, question, number, window) for number in answered} if mature else None,
    )
    verdict, stream = _followed(home, question, verdict, scored, window, known_by)
    estimators = {number: _estimator(database, home, question.model, number) for number in answered}
    usable = {number: found for number, found in estimators.items() if not isinstance(found, str)}
    guessed = measure_without_labels(scored, usable, confidence=question.confidence, slices=question.slices)
    verdict = replace(verdict, estimated=_own(guessed, verdict.version, question.primary))
    business = _business(home, question, window, known_by) if scored.num_rows else []
    own = estimators.get(verdict.version) if verdict.version is not None else None
    evidence = _evidence(question, verdict, known_by) | {
        "too_late": too_late,
        "estimate": own if isinstance(own, str) else BLIND,
        "stream": stream,
        "gap": estimate_json(foretold_gap(scored, verdict.version) if question.task == "binary" else None),
    }
    _write(
        database, question, window, verdict, (*verdict.measured, *guessed, *business), evidence, known_by, recorded_at
    )
    return verdict


def _scored(
    home: Home, question: Question, outcome: OutcomeSettings, window: Window, known_by: datetime
) -> tuple[pa.Table, int]:
    """The window's predictions with one outcome, each once; and how many outcomes came after their own window."""
    positive = question.positive if outcome.kind == "label" else None

    def read(window_s: float | None) -> pa.Table:
        return lake.scored(
            home,
            question.model,
            *window,
            name=outcome.name,
            known_by=known_by,
            positive=positive,
            window_s=window_s,
        )

    scored = read(outcome.window_s)
    if outcome.window_s is None:
        return scored, 0
    too_late = scored["label_at"].null_count - read(None)["label_at"].null_count
    if outcome.missing == "0":
        scored = with_missing_as_zero(scored, window_s=outcome.window_s, known_by=known_by)
    return scored, too_late


def _business(home: Home, question: Question, window: Window, known_by: datetime) -> list[Measured]:
    """The other declared outcomes, each with its own window and meaning of silence."""
    found: list[Measured] = []
    for outcome in question.outcomes:
        if outcome.kind != "label":
            told, _ = _scored(home, question, outcome, window, known_by)
            found += measure_outcome(
                told,
                outcome.name,
                binary=outcome.kind == "binary",
                confidence=question.confidence,
                slices=question.slices,
                mature=due_at(question, outcome, window) <= known_by,
            )
    return found


def _grounds(database: Database, question: Question, number: int, window: Window) -> Grounds:
    """What a version was promised to do, and how its own earlier mature days did."""
    rows = database.all(
        "SELECT date, value, low, high, rows FROM metrics_daily WHERE model = :model AND version = :version"
        " AND slice = '' AND basis = 'label' AND metric = :metric AND mature = 1 AND date < :day"
        " AND value IS NOT NULL AND low IS NOT NULL ORDER BY date DESC LIMIT :most",
        model=question.model,
        version=number,
        metric=question.primary,
        day=window_name(window),
        most=EARLIER_DAYS,
    )
    earlier = tuple(Estimate(value=row["value"], low=row["low"], high=row["high"], rows=row["rows"]) for row in rows)
    try:
        promised = registered(database, question.model, number).metrics.get(question.primary or "")
    except NotFound:
        promised = None
    return Grounds(promised=promised, earlier=earlier, false_alarms=question.false_alarms)


def _estimator(database: Database, home: Home, model: str, number: int) -> Estimator | str:
    try:
        return estimator_of(home, registered(database, model, number))
    except NotFound as error:
        return str(error)


def _followed(
    home: Home, question: Question, verdict: PerformanceVerdict, scored: pa.Table, window: Window, known_by: datetime
) -> tuple[PerformanceVerdict, str]:
    """The verdict with what the streams of its version's errors say, and in a word how these were followed."""
    if not verdict.mature or verdict.version is None or verdict.promised is None:
        return verdict, "not followed: labels may still come, or nothing was promised"
    stretch = _stretch(home, question, scored, window, known_by)
    if not stretch.whole:
        return verdict, "not followed: some labels are no value of the task"
    errors, micros = stretch.errors(question.task, verdict.version)
    days = (micros - int(window[0].timestamp() * 1e6)) // int((window[1] - window[0]).total_seconds() * 1e6)
    try:
        changes = streams.changes(
            errors,
            micros.astype("datetime64[us]"),
            days,
            # What was noticed late in the window before may have too few rows to be confirmed there.
            window[0] - (window[1] - window[0]),
            false_alarms=question.false_alarms / JUDGES,
        )
    except Unavailable as error:
        return verdict, str(error)
    concept = with_changes(Concept(answer=verdict.concept, why=verdict.concept_why), changes)
    followed = replace(verdict, changes=changes, concept=concept.answer, concept_why=concept.why)
    return followed, f"ADWIN and Page-Hinkley over {len(errors)} rows since {stretch.start:%Y-%m-%d}"


#: (home, question) -> what its errors are followed by. One process judges a model's windows, one after another.
_KEPT: dict[tuple[Path, Question], Stretch] = {}


def _stretch(home: Home, question: Question, scored: pa.Table, window: Window, known_by: datetime) -> Stretch:
    """The rows of the STREAM up to the window's end."""
    fresh = stretch_of(scored, window, question.task, question.classes)

    def read(start: datetime, end: datetime) -> Stretch:
        rows, _ = _scored(home, question, question.label, (start, end), known_by)
        return stretch_of(rows, (start, end), question.task, question.classes)

    found = followed(_KEPT.pop((home.path, question), None), fresh, read)
    if found.whole and len(found.micros) <= MOST_ROWS:
        _KEPT[home.path, question] = found
    return found.part(window[0] - STREAM, window[1])


def _own(guessed: Sequence[Measured], version: int | None, primary: str | None) -> Estimate | None:
    mine = [item for item in guessed if item.version == version and item.slice == "" and item.metric == primary]
    return max(mine, key=lambda item: item.answered).value if mine else None


def _evidence(question: Question, verdict: PerformanceVerdict, known_by: datetime) -> dict[str, Any]:
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


def _write(
    database: Database,
    question: Question,
    window: Window,
    verdict: PerformanceVerdict,
    measured: Sequence[Measured],
    evidence: dict[str, Any],
    known_by: datetime,
    recorded_at: datetime,
) -> None:
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
    """The day's figures, whole: what is no longer so does not stay."""
    tx.run("DELETE FROM metrics_daily WHERE model = :model AND date = :day", model=model, day=day)
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

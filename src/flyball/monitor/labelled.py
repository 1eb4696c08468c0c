"""Judges one window by what came true and writes it down: window, daily metrics and decision, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from flyball.errors import NotFound, Unavailable
from flyball.monitor import streams
from flyball.monitor.answered import Answered, told_of
from flyball.monitor.concept import JUDGES, Concept, Grounds, with_changes
from flyball.monitor.estimators import Estimator, estimator_of
from flyball.monitor.measured import (
    Measured,
    foretold_gap,
    measure_outcome,
    measure_without_labels,
)
from flyball.monitor.performance import PerformanceVerdict, estimate_json, judge_performance
from flyball.monitor.question import Question, due_at
from flyball.monitor.recent import MOST_ROWS, STREAM, Stretch, followed, stretch_of
from flyball.monitor.windows import Window, window_name
from flyball.monitor.written import evidence_of, write_performance
from flyball.registry.versions import version as registered
from flyball.stats.estimate import Estimate
from flyball.stats.estimated import BLIND
from flyball.store import Database, Home

#: own earlier days that a window is compared with, the newest.
EARLIER_DAYS = 60


def watch_performance(
    database: Database, home: Home, question: Question, rows: Answered, *, recorded_at: datetime
) -> PerformanceVerdict:
    """Judge a window by the outcomes that were known; metrics and window are written, and a decision where it is below,
    where what the model learnt holds no more, or where a mature verdict was taken back.

    A later call with more outcomes replaces metrics and window; with the same ones it changes nothing.
    """
    window, known_by, scored = rows.window, rows.known_by, rows.told[question.label.name]
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
    # What was estimated when the window closed stands, where its rows are still those.
    stands = _estimates(database, question, window, scored.num_rows) if mature else {}
    guessed = (
        [] if stands else measure_without_labels(scored, usable, confidence=question.confidence, slices=question.slices)
    )
    estimated = stands.get(verdict.version or 0) if stands else _own(guessed, verdict.version, question.primary)
    verdict = replace(verdict, estimated=estimated)
    business = _business(question, rows)
    own = estimators.get(verdict.version) if verdict.version is not None else None
    evidence = evidence_of(question, verdict, known_by) | {
        "too_late": rows.too_late,
        "estimate": own if isinstance(own, str) else BLIND,
        "stream": stream,
        "gap": estimate_json(foretold_gap(scored, verdict.version) if question.task == "binary" else None),
    }
    write_performance(
        database, question, window, verdict, (*verdict.measured, *guessed, *business), evidence, known_by, recorded_at
    )
    return verdict


def _business(question: Question, rows: Answered) -> list[Measured]:
    """The other declared outcomes, each with its own window and meaning of silence."""
    found: list[Measured] = []
    for outcome in question.outcomes:
        if outcome.kind != "label":
            found += measure_outcome(
                rows.told[outcome.name],
                outcome.name,
                binary=outcome.kind == "binary",
                confidence=question.confidence,
                slices=question.slices,
                mature=due_at(question, outcome, rows.window) <= rows.known_by,
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
        rows = told_of(home, question, question.label, (start, end), known_by)
        return stretch_of(rows, (start, end), question.task, question.classes)

    found = followed(_KEPT.pop((home.path, question), None), fresh, read)
    if found.whole and len(found.micros) <= MOST_ROWS:
        _KEPT[home.path, question] = found
    return found.part(window[0] - STREAM, window[1])


def _estimates(database: Database, question: Question, window: Window, rows: int) -> dict[int, Estimate]:
    """Version -> what was estimated of the window before; empty where nothing was, or of other rows."""
    found = database.all(
        "SELECT version, value, low, high, rows, answered FROM metrics_daily WHERE model = :model AND date = :day"
        " AND basis = 'estimate' AND slice = '' AND metric = :metric AND value IS NOT NULL ORDER BY answered",
        model=question.model,
        day=window_name(window),
        metric=question.primary,
    )
    if sum(row["answered"] or 0 for row in found) != rows:
        return {}
    return {
        row["version"]: Estimate(value=row["value"], low=row["low"], high=row["high"], rows=row["rows"])
        for row in found
    }


def _own(guessed: Sequence[Measured], version: int | None, primary: str | None) -> Estimate | None:
    mine = [item for item in guessed if item.version == version and item.slice == "" and item.metric == primary]
    return max(mine, key=lambda item: item.answered).value if mine else None

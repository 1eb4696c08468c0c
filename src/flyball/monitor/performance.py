"""Is the model still right? A window's predictions with what came true, per version, against the promise. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyball.monitor.concept import Concept, ConceptAnswer, Grounds, judge_concept
from flyball.monitor.measured import MIN_LABELS, Measured, Rows, computable, labelled, measure_labels
from flyball.monitor.streams import Change
from flyball.project.rules import Rule
from flyball.stats.estimate import Estimate
from flyball.stats.intervals import estimate

Answer = Literal["kept", "below", "immature", "cannot_judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceVerdict:
    """A window, judged by what came true."""

    verdict: Answer
    #: one sentence.
    reason: str
    #: the version judged: the one that answered last. None without rows.
    version: int | None
    #: its rows, and those of them with a label that can be scored.
    rows: int
    labels: int
    #: (version, variant) -> metric -> value with interval; every version that answered and has enough labels.
    metrics: Mapping[tuple[int, str], Mapping[str, Estimate]]
    #: whether labels have had their time: before, a window is shown, and neither alarms nor gates.
    mature: bool = True
    #: the primary metric of the judged version, measured.
    found: Estimate | None = None
    #: the same without labels; None where the version keeps nothing to estimate by.
    estimated: Estimate | None = None
    #: the same on the held-out rows, at its gate.
    promised: Estimate | None = None
    #: whether what it learnt still holds, and why that is said.
    concept: ConceptAnswer = "cannot_judge"
    concept_why: str = ""
    #: where a stream of the version's errors changed within the window.
    changes: tuple[Change, ...] = ()
    #: all that was measured, slice by slice too.
    measured: tuple[Measured, ...] = field(default=(), repr=False)


def judge_performance(
    scored: pa.Table,
    *,
    task: str,
    classes: tuple[str, ...] | None,
    rule: Rule | None,
    confidence: float,
    mature: bool = True,
    slices: Sequence[str] = (),
    primary: str | None = None,
    grounds: Mapping[int, Grounds] | None = None,
) -> PerformanceVerdict:
    """Judge the rows of `journal.lake.scored`. `rule` names the alarm: "auc < 0.70" alarms below 0.70.

    "below" only where the whole interval at `confidence` lies on the alarm's side. "immature": labels may still come, as
    `mature` says or as too few are there. Rows without a label or score, and with labels that are no value of the task, are
    left out. `grounds`: version -> what its `primary` metric is held against, to tell concept drift; none: cannot judge.
    """
    measured = measure_labels(scored, task=task, classes=classes, confidence=confidence, slices=slices, mature=mature)
    metrics = _whole(measured)
    if scored.num_rows == 0:
        return PerformanceVerdict(
            verdict="cannot_judge",
            reason="no predictions",
            version=None,
            rows=0,
            labels=0,
            metrics=metrics,
            mature=mature,
            concept_why="no predictions",
        )
    version = scored["version"][-1].as_py()
    own = scored.filter(pc.equal(scored["version"], version))
    rows = labelled(own, task, classes)
    verdict, reason = _answer(rows, own.num_rows, task, rule, confidence)
    if not mature and verdict != "cannot_judge":
        verdict, reason = "immature", f"labels may still come; so far {reason}"
    ground = (grounds or {}).get(version, Grounds())
    found = None
    if primary in computable(task) and len(rows[0]) >= MIN_LABELS:
        found = estimate(primary, task, *rows, confidence=confidence)
    concept = judge_concept(primary, found, ground, confidence=confidence) if mature else _TOO_SOON
    return PerformanceVerdict(
        verdict=verdict,
        reason=reason,
        version=version,
        rows=own.num_rows,
        labels=len(rows[0]),
        metrics=metrics,
        mature=mature,
        found=found,
        promised=ground.promised,
        concept=concept.answer,
        concept_why=concept.why,
        measured=measured,
    )


_TOO_SOON = Concept(answer="cannot_judge", why="labels may still come")


def _whole(measured: Sequence[Measured]) -> dict[tuple[int, str], dict[str, Estimate]]:
    found: dict[tuple[int, str], dict[str, Estimate]] = {}
    for item in measured:
        if item.slice == "":
            found.setdefault((item.version, item.variant), {})[item.metric] = item.value
    return found


def _answer(rows: Rows, answered: int, task: str, rule: Rule | None, confidence: float) -> tuple[Answer, str]:
    y, score = rows
    labels = f"{len(y)} labels of {answered} rows"
    if len(y) < MIN_LABELS:
        return ("immature" if len(y) < answered else "cannot_judge"), f"{labels}; at least {MIN_LABELS} are needed"
    if rule is None:
        return "kept", f"no promise is declared; {labels}"
    if rule.metric not in computable(task):
        return "cannot_judge", f"{rule.metric} cannot be computed from what the lake holds of a {task} model"
    found = estimate(rule.metric, task, y, score, confidence=confidence)
    text = f"{rule.metric} {found.value:.4g} [{found.low:.4g}, {found.high:.4g}] on {labels}"
    if not np.isfinite(found.low + found.high):
        return "cannot_judge", f"{text}: the interval cannot be known"
    alarm = {
        "<": found.high < rule.value,
        "<=": found.high <= rule.value,
        ">": found.low > rule.value,
        ">=": found.low >= rule.value,
    }[rule.comparison]
    if alarm:
        return "below", f"{text}: beyond chance {rule.text}"
    return "kept", f"{text}: not beyond chance {rule.text}"


def metrics_json(verdict: PerformanceVerdict) -> list[dict[str, Any]]:
    """One entry per version, variant and metric; unknown values as None."""
    return [
        {"version": version, "variant": variant, "metric": name, **(estimate_json(found) or {})}
        for (version, variant), metrics in verdict.metrics.items()
        for name, found in metrics.items()
    ]


def estimate_json(found: Estimate | None) -> dict[str, Any] | None:
    """A value with its interval; unknown ones as None."""
    if found is None:
        return None
    ends = {name: known(getattr(found, name)) for name in ("value", "low", "high")}
    return {**ends, "rows": found.rows}


def known(value: float) -> float | None:
    """None for nan and infinity: JSON and SQL know neither."""
    return value if np.isfinite(value) else None

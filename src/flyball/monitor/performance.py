"""Is the model still right? A window's predictions with what came true, per version, against the promise. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flyball.project.rules import Rule
from flyball.stats.estimate import Estimate
from flyball.stats.intervals import estimate
from flyball.stats.names import METRIC_NAMES

Answer = Literal["kept", "below", "immature", "cannot_judge"]
Rows = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

#: Fewer rows with a label than this, and nothing is said about a version.
MIN_LABELS = 50

#: Of a multiclass model the lake holds the answered class, not every class's probability.
_NEED_PROBABILITIES = ("log_loss", "brier", "ece")


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


def judge_performance(
    scored: pa.Table, *, task: str, classes: tuple[str, ...] | None, rule: Rule | None, confidence: float
) -> PerformanceVerdict:
    """Judge the rows of `journal.lake.scored`. `rule` names the alarm: "auc < 0.70" alarms below 0.70.

    "below" only where the whole interval at `confidence` lies on the alarm's side. "immature": labels may still come.
    Rows without a label or score, and with labels that are no value of the task, are left out.
    """
    metrics: dict[tuple[int, str], Mapping[str, Estimate]] = {}
    answered = pa.TableGroupBy(scored, ["version", "variant"]).aggregate([]).to_pylist()
    for item in sorted(answered, key=lambda item: (item["version"], item["variant"])):
        mine = pc.and_(pc.equal(scored["version"], item["version"]), pc.equal(scored["variant"], item["variant"]))
        y, score = _labelled(scored.filter(mine), task, classes)
        if len(y) >= MIN_LABELS:
            metrics[item["version"], item["variant"]] = {
                name: estimate(name, task, y, score, confidence=confidence) for name in _computable(task)
            }
    if scored.num_rows == 0:
        return PerformanceVerdict(
            verdict="cannot_judge", reason="no predictions", version=None, rows=0, labels=0, metrics=metrics
        )
    version = scored["version"][-1].as_py()
    own = scored.filter(pc.equal(scored["version"], version))
    y, score = _labelled(own, task, classes)
    verdict, reason = _answer(y, score, own.num_rows, task, rule, confidence)
    return PerformanceVerdict(
        verdict=verdict, reason=reason, version=version, rows=own.num_rows, labels=len(y), metrics=metrics
    )


def _answer(
    y: npt.NDArray[np.float64],
    score: npt.NDArray[np.float64],
    rows: int,
    task: str,
    rule: Rule | None,
    confidence: float,
) -> tuple[Answer, str]:
    labels = f"{len(y)} labels of {rows} rows"
    if len(y) < MIN_LABELS:
        return ("immature" if len(y) < rows else "cannot_judge"), f"{labels}; at least {MIN_LABELS} are needed"
    if rule is None:
        return "kept", f"no promise is declared; {labels}"
    if rule.metric not in _computable(task):
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


def _computable(task: str) -> tuple[str, ...]:
    names = METRIC_NAMES[task]
    return tuple(name for name in names if name not in _NEED_PROBABILITIES) if task == "multiclass" else names


def _labelled(rows: pa.Table, task: str, classes: tuple[str, ...] | None) -> Rows:
    """(y, score) as the metrics take them; for multiclass the answered class as certain."""
    if task == "multiclass":
        return _classes(rows, classes)
    y, score = (_floats(rows[name]) for name in ("label", "score"))
    usable = np.isfinite(y) & np.isfinite(score)
    if task == "binary":
        usable &= (y == 0) | (y == 1)
    return y[usable], score[usable]


def _classes(rows: pa.Table, classes: tuple[str, ...] | None) -> Rows:
    truth, answer = rows["label_text"].to_pylist(), rows["prediction"].to_pylist()
    known = [(str(true), str(said)) for true, said in zip(truth, answer, strict=True) if true is not None]
    names = classes or tuple(sorted({name for pair in known for name in pair}))
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[true], place[said]) for true, said in known if true in place and said in place]
    y, said = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return y.astype(np.float64), np.eye(max(len(names), 1))[said]


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return values


def metrics_json(verdict: PerformanceVerdict) -> list[dict[str, Any]]:
    """One entry per version, variant and metric; unknown values as None."""
    return [
        {
            "version": version,
            "variant": variant,
            "metric": name,
            "value": _known(found.value),
            "low": _known(found.low),
            "high": _known(found.high),
            "rows": found.rows,
        }
        for (version, variant), metrics in verdict.metrics.items()
        for name, found in metrics.items()
    ]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None

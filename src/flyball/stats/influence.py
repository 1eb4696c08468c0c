"""How much each row moves a metric: the influence values phi, with metric's error ~ mean(phi) and mean(phi) = 0.

Nearly every metric here is a smooth functional of the rows' distribution, so its variance is that of a mean of influence
values (Hampel 1974; the infinitesimal jackknife); of `ece` see `calibration`. That costs one sort at most, needs no
resampling and no seed, and sums over clusters whose rows move together. For AUC the values are the structural components
of DeLong (1988), found by sorting (Sun and Xu 2014).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flyball.stats.answers import Answers, Floats
from flyball.stats.calibration import ece_values
from flyball.stats.metrics import METRICS, ROW_LOSSES, class_f1, squared_errors


def appraise(metric: str, rows: Answers) -> tuple[float, Floats]:
    """The metric and its influence values of shape (n,); all nan where the metric itself is nan."""
    if not len(rows.y):
        return float("nan"), rows.y
    losses = ROW_LOSSES[rows.task].get(metric)
    if losses is not None:
        each = losses(rows)
        value = float(each.mean())
        return value, each - value
    value = METRICS[rows.task][metric](rows)
    if np.isnan(value):
        return value, np.full(len(rows.y), np.nan)
    values = _INFLUENCES[metric](rows, value)
    return value, values - values.mean()


def _auc(rows: Answers, value: float) -> Floats:
    """DeLong's structural components: the share of the other class on a row's right side, ties half; of a positive the
    negatives below it, of a negative the positives above it. Each class is weighted by how rare it is. No matrix of
    pairs (Sun and Xu 2014).
    """
    count, total = len(rows.y), rows.y.sum()
    ranking, rest = rows.ranking, count - total
    of_positives = (rows.negatives_below / rest - value) * (count / total)
    of_negatives = (1 - value - rows.positives_below / total) * (count / rest)
    both = (ranking.by_rank(item) for item in (of_positives, of_negatives))
    return ranking.by_row(np.where(rows.ranked_y == 1, *both))


def _average_precision(rows: Answers, value: float) -> Floats:
    """Derivative of E[y A(s)/B(s)] / E[y], where A(s), B(s) are the shares of positives, of rows, at or above s.

    A row counts by its own precision if positive, and by moving the precision at every positive at or below its score.
    """
    y, ranking = rows.ranked_y, rows.ranking
    precision = rows.precision_above
    per_score = ranking.sums(y) / (len(y) - ranking.starts)  # 1 / (n B) for every positive of this score
    up_to, weighed = np.cumsum(per_score), np.cumsum(per_score * precision)
    values = y * ranking.by_rank(precision + up_to - value) - ranking.by_rank(weighed)
    return ranking.by_row(values / y.mean())


def _precision(rows: Answers, value: float) -> Floats:
    return _ratio(rows.y * rows.answer, value, rows.answer.astype(np.float64))


def _recall(rows: Answers, value: float) -> Floats:
    return _ratio(rows.y * rows.answer, value, rows.y)


def _f1(rows: Answers, value: float) -> Floats:
    return _ratio(2 * rows.y * rows.answer, value, rows.y + rows.answer)


def _macro_f1(rows: Answers, _: float) -> Floats:
    """Mean over the occurring classes of each one's F1 values: 2 for a hit, less the F1 for each label and answer."""
    total, scores = class_f1(rows)
    each = len(rows.y) / np.maximum(total, 1)
    truth, answer = rows.truth, rows.answer
    values = np.where(truth == answer, (2 * each)[truth], 0) - (each * scores)[truth] - (each * scores)[answer]
    return np.asarray(values / int((total > 0).sum()))


def _rmse(rows: Answers, value: float) -> Floats:
    """sqrt's derivative times the squared error's; a perfect answer moves nothing."""
    return squared_errors(rows) / (2 * value) if value else np.zeros(len(rows.y))


def _r2(rows: Answers, value: float) -> Floats:
    return -_ratio(squared_errors(rows), 1 - value, (rows.y - rows.y.mean()) ** 2)


def _ratio(part: Floats, value: float, whole: Floats) -> Floats:
    """Influence values of mean(part) / mean(whole), which is `value`."""
    return np.asarray((part - value * whole) / whole.mean())


_INFLUENCES: dict[str, Callable[[Answers, float], Floats]] = {
    "auc": _auc,
    "average_precision": _average_precision,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "rmse": _rmse,
    "r2": _r2,
    "ece": ece_values,
}

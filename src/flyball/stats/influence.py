"""How much each row moves a metric: the influence values phi, with metric's error ~ mean(phi) and mean(phi) = 0.

Every metric here is a smooth functional of the rows' distribution, so its variance is that of a mean of influence values
(Hampel 1974; the infinitesimal jackknife). That costs one sort at most, needs no resampling and no seed, and sums over
clusters whose rows move together. For AUC the values are the structural components of
DeLong (1988), found by sorting (Sun and Xu 2014).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flyball.stats.metrics import (
    ROW_LOSSES,
    THRESHOLD,
    Floats,
    average_precision,
    class_f1,
    placements,
    precision_at,
    runs,
    squared_errors,
)


def influence(metric: str, task: str, y: Floats, score: Floats) -> Floats:
    """Influence values of shape (n,); all nan where the metric itself is nan. Inputs as `metrics.checked` returns them."""
    values: Floats = (ROW_LOSSES[task].get(metric) or _INFLUENCES[metric])(y, score)
    centred: Floats = values - values.mean()
    return centred


def _auc(y: Floats, score: Floats) -> Floats:
    """DeLong's structural components, each class weighted by how rare it is."""
    positives = y.sum()
    if positives in (0, len(y)):
        return np.full(len(y), np.nan)
    placed = placements(y, score)
    weight = len(y) / np.where(y == 1, positives, len(y) - positives)
    values: Floats = (placed - placed[y == 1].mean()) * weight
    return values


def _average_precision(y: Floats, score: Floats) -> Floats:
    """Derivative of E[y A(s)/B(s)] / E[y], where A(s), B(s) are the shares of positives, of rows, at or above s.

    A row counts by its own precision if positive, and by moving the precision at every positive at or below its score.
    """
    value, share = average_precision(y, score), y.mean()
    if np.isnan(value):
        return np.full(len(y), np.nan)
    precision = precision_at(y, score)
    order = np.argsort(score)
    starts, lengths = runs(score[order])
    per_score = np.add.reduceat(y[order], starts) / (len(y) - starts)  # 1 / (n B) for every positive of this score
    up_to = np.cumsum(per_score), np.cumsum(per_score * precision[order][starts])
    moved = np.empty(len(y))
    moved[order] = y[order] * np.repeat(up_to[0], lengths) - np.repeat(up_to[1], lengths)
    values: Floats = (y * precision + moved - value * y) / share
    return values


def _precision(y: Floats, score: Floats) -> Floats:
    answer = (score >= THRESHOLD).astype(np.float64)
    return _ratio(y * answer, answer)


def _recall(y: Floats, score: Floats) -> Floats:
    return _ratio(y * (score >= THRESHOLD), y)


def _f1(y: Floats, score: Floats) -> Floats:
    answer = (score >= THRESHOLD).astype(np.float64)
    return _ratio(2 * y * answer, y + answer)


def _macro_f1(y: Floats, score: Floats) -> Floats:
    """Mean over the occurring classes of each one's F1 values."""
    occurring, _ = class_f1(y, score)
    answer = score.argmax(axis=1)
    total = np.zeros(len(y))
    for index in np.flatnonzero(occurring):
        truth, said = (y == index).astype(np.float64), (answer == index).astype(np.float64)
        total += _ratio(2 * truth * said, truth + said)
    return total / int(occurring.sum())


def _rmse(y: Floats, score: Floats) -> Floats:
    """sqrt's derivative times the squared error's; a perfect answer moves nothing."""
    squares = squared_errors(y, score)
    root = np.sqrt(squares.mean())
    return (squares - squares.mean()) / (2 * root) if root else np.zeros(len(y))


def _r2(y: Floats, score: Floats) -> Floats:
    return -_ratio(squared_errors(y, score), (y - y.mean()) ** 2)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Influence values of mean(part) / mean(whole)."""
    mean = whole.mean()
    return (part - part.mean() / mean * whole) / mean if mean else np.full(len(part), np.nan)


_INFLUENCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "auc": _auc,
    "average_precision": _average_precision,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "rmse": _rmse,
    "r2": _r2,
}

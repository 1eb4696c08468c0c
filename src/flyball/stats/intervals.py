"""Confidence intervals of metrics, and of the difference of two models on the same rows; cluster-robust where asked.

An interval that cannot be known (one class, fewer than two rows or clusters) is nan on both sides, never a narrow guess:
every comparison with nan is false, so nothing is promoted, and nothing alarms, by it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from flyball.errors import Mistake
from flyball.stats.estimate import Estimate
from flyball.stats.influence import influence
from flyball.stats.metrics import Floats, checked, compute

#: Values a metric can take; intervals of single values end there. All others: 0 to 1.
_RANGES: dict[str, tuple[float, float]] = {
    "log_loss": (0, np.inf),
    "rmse": (0, np.inf),
    "mae": (0, np.inf),
    "r2": (-np.inf, 1),
}


def estimate(
    metric: str,
    task: str,
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    confidence: float,
    clusters: npt.ArrayLike | None = None,
) -> Estimate:
    """The metric with its two-sided interval at level `confidence` in (0.5, 1). Shapes and errors: `metrics.compute`.

    Without `clusters` rows are taken as independent: a normal interval from the variance of the influence values, which
    for AUC is DeLong's (1988). With `clusters` (shape (n,), any values; rows of one value move together) the values are
    summed per cluster and the interval is Student's t with k - 1 degrees of freedom over the k clusters.
    """
    truth, answer = checked(metric, task, y, score)
    value = compute(metric, task, truth, answer)
    effect = influence(metric, task, truth, answer) if len(truth) else truth
    half = _half_width(effect, _strata(metric, truth), confidence, clusters)
    least, most = _RANGES.get(metric, (0, 1))
    return Estimate(
        value=value,
        low=float(np.maximum(value - half, least)),
        high=float(np.minimum(value + half, most)),
        rows=len(truth),
    )


def paired(
    metric: str,
    task: str,
    y: npt.ArrayLike,
    candidate: npt.ArrayLike,
    champion: npt.ArrayLike,
    *,
    confidence: float,
    clusters: npt.ArrayLike | None = None,
) -> Estimate:
    """metric(candidate) - metric(champion) on the same rows, with its interval; see `estimate`.

    Pairing matters: two models are right and wrong on much the same rows, so their difference varies far less than
    either of them. Scores have the same shape; two equal models give exactly 0 with the interval [0, 0].
    """
    truth, first = checked(metric, task, y, candidate)
    _, second = checked(metric, task, y, champion)
    value = compute(metric, task, truth, first) - compute(metric, task, truth, second)
    effect = influence(metric, task, truth, first) - influence(metric, task, truth, second) if len(truth) else truth
    half = _half_width(effect, _strata(metric, truth), confidence, clusters)
    return Estimate(value=value, low=value - half, high=value + half, rows=len(truth))


def _strata(metric: str, truth: Floats) -> Floats | None:
    """DeLong holds the number of positives fixed: its variance is taken within each class."""
    return truth if metric == "auc" else None


def _half_width(effect: Floats, strata: Floats | None, confidence: float, clusters: npt.ArrayLike | None) -> float:
    """Half the interval's width from influence values of shape (n,); nan where it cannot be known."""
    if not 0.5 < confidence < 1:
        raise Mistake(f"confidence is {confidence!r}; allowed: between 0.5 and 1, for example 0.95")
    level = (1 + confidence) / 2
    groups = [effect[strata == value] for value in (0, 1)] if strata is not None else [effect]
    if min(len(group) for group in groups) < 2:
        return float("nan")
    if clusters is None:
        variance = sum(len(group) * group.var(ddof=1) for group in groups)
        return float(ndtri(level) * np.sqrt(variance) / len(effect))
    sums = _cluster_sums(effect, np.asarray(clusters))
    k = len(sums)
    if k < 2:
        return float("nan")
    return float(stdtrit(k - 1, level) * np.sqrt(k * sums.var(ddof=1)) / len(effect))


def _cluster_sums(effect: Floats, clusters: npt.NDArray[np.generic]) -> Floats:
    if clusters.shape != effect.shape:
        raise Mistake(f"clusters have shape {clusters.shape}, rows {effect.shape}; give one cluster per row")
    _, codes = np.unique(clusters, return_inverse=True)
    return np.asarray(np.bincount(codes, weights=effect), dtype=np.float64)

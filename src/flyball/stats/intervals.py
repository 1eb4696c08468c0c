"""Confidence intervals of metrics, and of the difference of two models on the same rows; cluster-robust where asked.

An interval that cannot be known (one class, fewer than two rows or clusters) is nan on both sides, never a narrow guess:
every comparison with nan is false, so nothing is promoted, and nothing alarms, by it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from flyball.errors import Mistake
from flyball.stats.answers import Answers, Floats, answers_of, require_metric
from flyball.stats.estimate import Estimate
from flyball.stats.influence import appraise

#: Values a metric can take; intervals of single values end there. All others: 0 to 1.
_RANGES: dict[str | tuple[str, str], tuple[float, float]] = {
    ("multiclass", "brier"): (0, 2),
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
    require_metric(metric, task)
    return estimate_of(metric, answers_of(task, y, score), confidence=confidence, clusters=clusters)


def estimate_of(metric: str, rows: Answers, *, confidence: float, clusters: npt.ArrayLike | None = None) -> Estimate:
    """`estimate` of rows that several metrics are asked of: they are checked and sorted once for all."""
    require_metric(metric, rows.task)
    value, effect = appraise(metric, rows)
    half = _half_width(effect, _strata(metric, rows), confidence, clusters)
    least, most = _RANGES.get((rows.task, metric)) or _RANGES.get(metric, (0, 1))
    return Estimate(
        value=value,
        low=float(np.maximum(value - half, least)),
        high=float(np.minimum(value + half, most)),
        rows=len(rows.y),
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
    require_metric(metric, task)
    both = answers_of(task, y, candidate), answers_of(task, y, champion)
    return paired_of(metric, *both, confidence=confidence, clusters=clusters)


def paired_of(
    metric: str, candidate: Answers, champion: Answers, *, confidence: float, clusters: npt.ArrayLike | None = None
) -> Estimate:
    """`paired` of the same rows answered by both, which several metrics are asked of."""
    require_metric(metric, candidate.task)
    own, effect = appraise(metric, candidate)
    theirs, other = appraise(metric, champion)
    half = _half_width(effect - other, _strata(metric, candidate), confidence, clusters)
    value = own - theirs
    return Estimate(value=value, low=value - half, high=value + half, rows=len(effect))


def p_value(
    metric: str,
    task: str,
    y: npt.ArrayLike,
    candidate: npt.ArrayLike,
    champion: npt.ArrayLike | None,
    *,
    bound: float,
    side: Literal["below", "above"],
    clusters: npt.ArrayLike | None = None,
) -> float:
    """How surprising the metric (with a `champion`: the paired difference) is, were it not on that `side` of `bound`.

    One-sided, in [0, 1], from the same errors as `estimate` and `paired`; nan where they cannot be known.
    """
    require_metric(metric, task)
    rows = answers_of(task, y, candidate)
    value, effect = appraise(metric, rows)
    if champion is not None:
        theirs, other = appraise(metric, answers_of(task, y, champion))
        value, effect = value - theirs, effect - other
    error, freedom = _error(effect, _strata(metric, rows), clusters)
    if np.isnan(error) or np.isnan(value):
        return float("nan")
    apart = value - bound if side == "below" else bound - value
    if error == 0:
        return 0.0 if apart < 0 else 1.0
    return float(ndtr(apart / error) if freedom is None else stdtr(freedom, apart / error))


def detectable(difference: Estimate, confidence: float, power: float = 0.8) -> float:
    """The smallest true difference that an interval as wide as this one's tells from 0 with probability `power`.

    (z_confidence + z_power) standard errors (Cohen 1988, section 2); nan where the interval is.
    """
    half = (difference.high - difference.low) / 2
    return float(half * (1 + ndtri(power) / ndtri((1 + confidence) / 2)))


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's (1979) adjusted p-values: those under a level are rejected with a family-wise error of at most that level.

    Shape (n,) in and out; nan (could not be tested) stays nan and does not count among the tests.
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    stepped = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1) if len(order) else stepped
    return adjusted


def _strata(metric: str, rows: Answers) -> Floats | None:
    """DeLong holds the number of positives fixed: its variance is taken within each class."""
    return rows.y if metric == "auc" else None


def _half_width(effect: Floats, strata: Floats | None, confidence: float, clusters: npt.ArrayLike | None) -> float:
    """Half the interval's width from influence values of shape (n,); nan where it cannot be known."""
    if not 0.5 < confidence < 1:
        raise Mistake(f"confidence is {confidence!r}; allowed: between 0.5 and 1, for example 0.95")
    level = (1 + confidence) / 2
    error, freedom = _error(effect, strata, clusters)
    return error * float(ndtri(level) if freedom is None else stdtrit(freedom, level))


def _error(effect: Floats, strata: Floats | None, clusters: npt.ArrayLike | None) -> tuple[float, int | None]:
    """The standard error from influence values of shape (n,), nan where it cannot be known; and t's degrees of freedom.

    No degrees (None) where rows count as independent: then it is the normal's.
    """
    if clusters is None:
        squares = _squares(effect, strata)
        return (float("nan") if squares is None else float(np.sqrt(squares) / len(effect))), None
    if strata is not None and min(strata.sum(), len(strata) - strata.sum()) < 2:
        return float("nan"), None
    sums = _cluster_sums(effect, np.asarray(clusters))
    k = len(sums)
    if k < 2:
        return float("nan"), None
    return float(np.sqrt(k * sums.var(ddof=1)) / len(effect)), k - 1


def _squares(effect: Floats, strata: Floats | None) -> float | None:
    """n times the variance, summed over the strata (0 or 1 of each row); None where one has fewer than two rows.

    By sums alone: of influence values the mean is next to 0, so no digits are lost.
    """
    count, total, squares = len(effect), effect.sum(), effect @ effect
    parts = [(count, total, squares)]
    if strata is not None:
        ones = (strata.sum(), effect @ strata, (effect * effect) @ strata)
        parts = [ones, (count - ones[0], total - ones[1], squares - ones[2])]
    if min(rows for rows, _, _ in parts) < 2:
        return None
    return float(sum(rows * max(square - sum_**2 / rows, 0) / (rows - 1) for rows, sum_, square in parts))


def _cluster_sums(effect: Floats, clusters: npt.NDArray[np.generic]) -> Floats:
    if clusters.shape != effect.shape:
        raise Mistake(f"clusters have shape {clusters.shape}, rows {effect.shape}; give one cluster per row")
    _, codes = np.unique(clusters, return_inverse=True)
    return np.asarray(np.bincount(codes, weights=effect), dtype=np.float64)

"""How far a statistic strays on quiet days: thresholds learned from the reference's own days, or from theory without them.

Rows of one day are not independent (they share its weather, its customers), so days, not rows, are the sample. A quiet
day to come lies within the predictive interval of the days seen: mean + t * sd * sqrt(1 + 1/k), Student's t with k - 1
degrees of freedom, on a scale where days are about normal:

distances   the cube root of psi, the 2/3 power of its root-like kin (js_distance, ks, l_infinity): a distance between
            shares is a weighted sum of squares, gamma-like under sampling noise and under normal day effects alike, and
            the cube root makes a gamma normal (Wilson and Hilferty 1931), from one degree of freedom on
shares      the arcsine root, whose sampling variance is 1/(4n) at any share, 0 and 1 included (Anscombe 1948)
means       as they are

A window with fewer rows than the days it is compared with strays further. How much further cannot be read off whole days:
rows may share a value by the hour or by the customer, and then half a day holds half as many values. So all of a day's
variance is taken to grow as its rows get fewer. A window with more rows than a day is not taken to stray less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri, stdtrit

from flyball.stats.distances import js_distance, ks, l_infinity, psi

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DISTANCES = {"psi": psi, "js_distance": js_distance, "ks": ks, "l_infinity": l_infinity}

_POWER = {"psi": 1 / 3, "js_distance": 2 / 3, "ks": 2 / 3, "l_infinity": 2 / 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Where quiet ends for one statistic."""

    #: its mean over quiet windows, and the value it exceeds with the asked probability; on the statistic's own scale.
    mean: float
    threshold: float
    #: how far `value` lies from the mean, where the threshold lies at 1.
    strength: float


def distance_limit(method: str, value: float, window: Ints, blocks: Ints, total: Ints, level: float) -> Limit:
    """The limit of a distance from days: each of `blocks` (k, bins) against all other rows of `total` (bins,)."""
    own = DISTANCES[method](blocks, total - blocks)
    own = own * _growth(method, own, window, blocks, total)
    power = _POWER[method]
    scaled = own**power
    middle, reach = scaled.mean(), _reach(scaled, level) * scaled.std(ddof=1)
    return Limit(
        mean=float(own.mean()),
        threshold=float((middle + reach) ** (1 / power)),
        strength=_strength(value**power - middle, reach),
    )


def _growth(method: str, own: Floats, window: Ints, blocks: Ints, total: Ints) -> Floats:
    """What days' distances are multiplied by for a window of another size.

    With fewer rows all of it grows. With more rows sampling noise shrinks, and what days have beyond it stays (its mean
    and a standard error of it).
    """
    power = 1 if method == "psi" else 1 / 2
    rows, n = blocks.sum(axis=1), window.sum()
    squared = own ** (1 / power)
    noise = _expected(method, rows, total) ** (1 / power)
    beyond = max(float(squared.mean() + squared.std(ddof=1) / np.sqrt(len(rows)) - noise.mean()), 0.0)
    fewer = np.maximum(rows / n, 1)
    # The noise of a constant is 0, and so is what it may shrink by.
    more = (beyond + noise * np.minimum(rows / n, 1)) / np.where(noise > 0, beyond + noise, 1)
    growth: Floats = (fewer * np.where(noise > 0, more, 1)) ** power
    return growth


def iid_distance_limit(method: str, value: float, window: Ints, total: Ints, level: float) -> Limit:
    """The limit of a distance between two samples of independent rows: Pearson's chi-square over the bins in use.

    js_distance is about the root of (1/n + 1/N) chi-square / (8 ln 2); ks by Kolmogorov's bound, l_infinity by a normal
    bound over all bins (Bonferroni).
    """
    n, size = 1 / window.sum() + 1 / total.sum(), max(int(((window + total) > 0).sum()), 2)
    mean, threshold = {
        "js_distance": tuple(np.sqrt(n * np.array([size - 1, chdtri(size - 1, level)]) / (8 * np.log(2)))),
        "ks": (0.8687 * np.sqrt(n), np.sqrt(-np.log(level / 2) / 2 * n)),
        "l_infinity": tuple(np.sqrt(n * _widest(total)) * np.array([1, ndtri(1 - level / (2 * size))])),
    }[method]
    return Limit(mean=float(mean), threshold=float(threshold), strength=_strength(value - mean, threshold - mean))


def day_limit(
    values: Floats, noise: Floats, value: float, window_noise: float, level: float
) -> tuple[float, float, float]:
    """Middle, one predictive standard deviation and its multiple that is the limit, for a mean or a share among days'.

    `noise`, shape (k,), and `window_noise` are the sampling variances of a day's and the window's value. Two-sided.
    """
    between = max(values.var(ddof=1) - noise.mean(), 0) * max(window_noise / max(noise.mean(), 1e-300), 1)
    sd = float(np.sqrt(between + window_noise))
    side = np.copysign(1, value - values.mean())
    return float(values.mean()), sd, _reach(side * values, level / 2)


def arcsine(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """asin(sqrt(share)) with Anscombe's 3/8; its sampling variance is about 1 / (4 whole)."""
    return np.asarray(np.arcsin(np.sqrt((np.asarray(part) + 0.375) / (np.asarray(whole) + 0.75))))


def _reach(values: Floats, level: float) -> float:
    """The upper limit among days' values, in their standard deviations from their mean.

    Days skewed upward beyond chance (a standard error of the skewness) reach as far as a shifted lognormal of that
    skewness does at the normal limit's probability (Johnson 1949, family SL).
    """
    k = len(values)
    normal = float(stdtrit(k - 1, 1 - level) * np.sqrt(1 + 1 / k))
    skewness = _skewness(values) - np.sqrt(6 / k)
    if skewness <= 0:
        return normal
    root = skewness * np.sqrt(1 + skewness**2 / 4)
    squared = np.cbrt(1 + skewness**2 / 2 + root) + np.cbrt(1 + skewness**2 / 2 - root) - 1
    return float((np.exp(np.sqrt(np.log(squared)) * normal) / np.sqrt(squared) - 1) / np.sqrt(squared - 1))


def _skewness(values: Floats) -> float:
    apart = values - values.mean()
    variance = (apart**2).mean()
    return float((apart**3).mean() / variance**1.5) if variance > 0 else 0.0


def _strength(distance: float, reach: float) -> float:
    """At most a million, so that it can be written down where the days did not vary at all."""
    return float(np.clip(distance / reach, -1e6, 1e6)) if reach > 0 else (1e6 if distance > 0 else 0.0)


def spread(method: str, mean: float, total: Ints) -> float:
    """About one standard deviation of a root-like distance, given its mean over quiet windows."""
    freedom = max(int((total > 0).sum()) - 1, 1)
    # js_distance goes as the root of a chi-square, whose sd is half a unit whatever its size; a difference of shares at
    # the middle has sd 1/2 where Kolmogorov's mean is 0.8687; l_infinity's mean is set to one standard deviation.
    return mean * {"js_distance": float(freedom**-0.5), "ks": 0.5 / 0.8687, "l_infinity": 1.0}[method]


def iid_mean(method: str, n: int, total: Ints) -> float:
    """The mean of a distance between samples of n and of `total`'s rows, if all were independent."""
    return float(_expected(method, 1 / (1 / n + 1 / total.sum()), total))


def _expected(method: str, rows: npt.ArrayLike, total: Ints) -> Floats:
    """The distance's mean between samples of `rows` and of very many independent rows."""
    freedom = max(int((total > 0).sum()) - 1, 1)
    squared = {"psi": freedom, "js_distance": freedom / (8 * np.log(2)), "ks": 0.8687**2, "l_infinity": _widest(total)}
    ratio = squared[method] / np.asarray(rows, dtype=np.float64)
    return np.asarray(ratio if method == "psi" else np.sqrt(ratio))


def _widest(total: Ints) -> float:
    """The largest p (1 - p) over the bins."""
    share = total / total.sum()
    return float((share * (1 - share)).max())

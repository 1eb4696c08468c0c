"""How far a statistic strays on quiet days: thresholds learned from the reference's own days, or from theory without them.

Rows of one day are not independent (they share its weather, its customers), so days, not rows, are the sample. A quiet
day to come lies within the predictive interval of the days seen: mean + t * sd * sqrt(1 + 1/k), Student's t with k - 1
degrees of freedom, on a scale where days are about normal:

distances   the cube root of psi, the 2/3 power of its root-like kin: a distance between shares is a weighted sum of
            squares, gamma-like under sampling noise and under normal day effects alike, and the cube root makes a gamma
            normal (Wilson and Hilferty 1931), from one degree of freedom on
shares      the arcsine root, whose sampling variance is 1/(4n) at any share, 0 and 1 included (Anscombe 1948)
means       as they are

Where days differ in one way and rows add noise in every other, psi is no gamma: its body is the noise's and its tail the
one way's, which sixty values of psi do not show. The days' bins do (`tail_limit`). Nor is it one where a day holds few
values of its own (`sparse_limit`). psi's limit is the highest of the three.

A window with fewer rows than the days it is compared with strays further. How much further cannot be read off whole days:
rows may share a value by the hour or by the customer, and then half a day holds half as many values. So all of a day's
variance is taken to grow as its rows get fewer. A window with more rows than a day is not taken to stray less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri, stdtrit

from flyball.stats.distances import psi_parts
from flyball.stats.measures import PSI, Measure
from flyball.stats.sparse import sparse_limit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Where quiet ends for one statistic."""

    #: its mean over quiet windows, and the value it exceeds with the asked probability; on the statistic's own scale.
    mean: float
    threshold: float
    #: how far `value` lies from the mean, where the threshold lies at 1.
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Days' distances from what each of them is compared with: one and the same for all windows."""

    #: shape (k,), and how many rows each amounts to (`harmonic`).
    own: Floats
    rows: Floats
    #: of psi: the roots of its terms, shape (k, bins).
    parts: Floats | None


def sample_of(measure: Measure, blocks: Ints, rests: Ints) -> Sample:
    """Each of `blocks` against its own of `rests`, (k, bins)."""
    return Sample(
        own=measure.between(blocks, rests),
        rows=harmonic(blocks.sum(axis=1), rests.sum(axis=1)),
        parts=psi_parts(blocks, rests) if measure is PSI else None,
    )


def distance_limits(
    measures: Sequence[Measure],
    values: Floats,
    samples: Sequence[Sample],
    rows: float,
    noise: Floats,
    level: float,
    total: Ints,
) -> list[Limit]:
    """The limits of distances from the same days, all at once: a feature has four, and each alone takes as long as all.

    `values` and `noise`, shape (m,): the distances, and each measure's `noise` of what the window is compared with;
    `rows`: what window and that amount to (`harmonic`); `total`: the counts of that, shape (bins,).
    """
    own, powers = np.stack([sample.own for sample in samples]), np.array([[measure.power] for measure in measures])
    growth = _growth(own, powers, samples[0].rows, rows, noise[:, None])
    roots = 1 / (3 * powers)
    grown = own * growth
    scaled = grown**roots
    middle, usual = scaled.mean(axis=1), grown.mean(axis=1)
    highest = middle + _reach(scaled, level) * scaled.std(axis=1, ddof=1)
    for place, sample in enumerate(samples):
        if sample.parts is not None:
            tail = tail_limit(sample.parts * np.sqrt(growth[place])[:, None], level)
            # As many independent values would differ by chance as much as the days do.
            alike = float(noise[place] / max(usual[place], 1e-300))
            highest[place] = max(highest[place], max(tail, sparse_limit(total, alike, level)) ** roots[place, 0])
    thresholds = highest ** (1 / roots[:, 0])
    apart, reach = values ** roots[:, 0] - middle, highest - middle
    return [
        Limit(mean=float(mean), threshold=float(threshold), strength=strength(*pair))
        for mean, threshold, *pair in zip(usual, thresholds, apart.tolist(), reach.tolist(), strict=True)
    ]


def tail_limit(parts: Floats, level: float) -> float:
    """What a day's sum of squares exceeds with probability `level`. `parts`, shape (k, bins): the days' roots of its terms.

    If days' parts are normal, their sum of squares is one of independent squares weighted by the eigenvalues of their
    covariance. The sums of these weights' powers, up to the third, follow without bias from products of different days
    (one square of a value seen twice would be taken for a day effect); the tail is that of the chi-square with the same
    three cumulants (Buckley and Eagleson 1988), of F in its place because the weights are estimated. 0 without variance.
    """
    k, own = len(parts), (parts**2).sum(axis=1)
    # Of the days' products G with their own squares left out, by their bins' products, which are few: the trace of the
    # square, and of (G - D)^3 = G^3 - 3 G^2 D + 3 G D^2 - D^3.
    bins = parts.T @ parts
    first = float(own.sum()) / k
    second = float((bins**2).sum() - (own**2).sum()) / (k * (k - 1))
    squared = ((parts @ bins) * parts).sum(axis=1)
    third = float(((bins @ bins) * bins).sum() - 3 * (own * squared).sum() + 2 * (own**3).sum())
    third /= k * (k - 1) * (k - 2)
    if first <= 0 or second <= 0:
        return 0.0
    # Powers of weights: the third sum is at most the second to 3/2, which is one weight's; and at least second^2 / first.
    third = float(np.clip(third, second**2 / first, second**1.5))
    freedom = second**3 / third**2
    reach = freedom * (float(fdtri(freedom, (k - 1) * freedom, 1 - level)) - 1)
    return float(first + np.sqrt(second / freedom) * reach)


def _growth(own: Floats, power: Floats, rows: Floats, window: float, noise: Floats) -> Floats:
    """What days' distances are multiplied by for a window of another size: (m, k) from `own` (m, k), `power` (m, 1), `rows`
    (k,), and `noise` (m, 1).

    With fewer rows all of it grows. With more rows sampling noise shrinks, and what days have beyond it stays (its mean
    and a standard error of it).
    """
    squared = own ** (1 / power)
    by_day = noise / rows
    error = squared.std(axis=1, ddof=1, keepdims=True) / np.sqrt(len(rows))
    beyond = np.maximum(squared.mean(axis=1, keepdims=True) + error - by_day.mean(axis=1, keepdims=True), 0.0)
    fewer = np.maximum(rows / window, 1)
    # The noise of a constant is 0, and so is what it may shrink by.
    more = (beyond + by_day * np.minimum(rows / window, 1)) / np.where(by_day > 0, beyond + by_day, 1)
    growth: Floats = (fewer * np.where(by_day > 0, more, 1)) ** power
    return growth


def harmonic(window: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """1 / (1/n + 1/N): the rows of one sample that strays from the truth as two samples do from each other."""
    n, rows = np.asarray(window, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    return np.asarray(n * rows / np.maximum(n + rows, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How days' means or shares stray: one and the same for all windows."""

    mean: float
    variance: float
    #: mean of the days' sampling variances.
    noise: float
    #: how far up and how far down, in standard deviations, a day to come strays at the asked level, two-sided.
    up: float
    down: float


def spread_of(values: Floats, noise: Floats, level: float) -> Spread:
    """`values` and their sampling variances `noise`: shape (k,), one a day."""
    return Spread(
        mean=float(values.mean()),
        variance=float(values.var(ddof=1)),
        noise=float(noise.mean()),
        up=float(_reach(values, level / 2)),
        down=float(_reach(-values, level / 2)),
    )


def day_limit(days: Spread, value: float, window_noise: float) -> tuple[float, float, float]:
    """Middle, one predictive standard deviation and its multiple that is the limit on `value`'s side, for a mean or a share
    among days'. `window_noise`: the sampling variance of the window's.
    """
    between = max(days.variance - days.noise, 0) * max(window_noise / max(days.noise, 1e-300), 1)
    return days.mean, float(np.sqrt(between + window_noise)), days.up if value >= days.mean else days.down


def arcsine(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """asin(sqrt(share)) with Anscombe's 3/8; its sampling variance is about 1 / (4 whole)."""
    return np.asarray(np.arcsin(np.sqrt((np.asarray(part) + 0.375) / (np.asarray(whole) + 0.75))))


def _reach(values: Floats, level: float) -> Floats:
    """The upper limit among days' values, (..., k), in their standard deviations from their mean, (...).

    Days skewed upward beyond chance (a standard error of the skewness) reach as far as a shifted lognormal of that
    skewness does at the normal limit's probability (Johnson 1949, family SL).
    """
    k = values.shape[-1]
    normal = float(stdtrit(k - 1, 1 - level) * np.sqrt(1 + 1 / k))
    skewness = np.maximum(_skewness(values) - np.sqrt(6 / k), 0)
    root = skewness * np.sqrt(1 + skewness**2 / 4)
    squared = np.cbrt(1 + skewness**2 / 2 + root) + np.cbrt(1 + skewness**2 / 2 - root) - 1
    skewed = skewness > 0
    width = np.sqrt(np.where(skewed, squared - 1, 1))
    return np.where(skewed, (np.exp(np.sqrt(np.log(squared)) * normal) / np.sqrt(squared) - 1) / width, normal)


def _skewness(values: Floats) -> Floats:
    apart = values - values.mean(axis=-1, keepdims=True)
    variance = (apart**2).mean(axis=-1)
    third = (apart**3).mean(axis=-1)
    found: Floats = np.divide(third, variance**1.5, out=np.zeros_like(variance), where=variance > 0)
    return found


def strength(distance: float, reach: float) -> float:
    """At most a million, so that it can be written down where the days did not vary at all."""
    return float(np.clip(distance / reach, -1e6, 1e6)) if reach > 0 else (1e6 if distance > 0 else 0.0)

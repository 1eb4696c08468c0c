"""The distances that verdicts name, each with how it behaves between samples of independent rows.

All of them go as a power of a sum of squares (or of its largest), whose mean between a sample of n rows and very many is
noise / n. `iid` gives the mean and the limit between two samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri

from flyball.stats import distances
from flyball.stats.bins import Bins, middles

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Kolmogorov's distribution's mean, and standard deviation over mean, for root n times the distance.
_KOLMOGOROV = 0.8687
#: Standard deviation over mean of the area under a Brownian bridge's absolute value (Shepp 1982).
_BRIDGE = 0.43


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A distance between counts over the same bins."""

    between: Callable[[distances.Counts, distances.Counts], Floats]
    #: of a sum of squares that the distance goes as: 1 or 1/2.
    power: float
    #: of total counts (bins,): the mean of distance^(1/power) between one row and very many.
    noise: Callable[[Ints], float]
    #: of total counts: one standard deviation over the mean, by chance.
    spread: Callable[[Ints], float]
    #: (1/n + 1/N, bins in use, total counts, level) -> mean, and what is exceeded with probability `level`, of independent
    #: rows; None where the limit is another statistic's.
    iid: Callable[[float, int, Ints, float], tuple[float, float]] | None


def _freedom(total: Ints) -> int:
    return max(int((total > 0).sum()) - 1, 1)


def _widest(total: Ints) -> float:
    """The largest p (1 - p) over the bins."""
    share = total / total.sum()
    return float((share * (1 - share)).max())


def _js(inverse: float, size: int, _total: Ints, level: float) -> tuple[float, float]:
    """js_distance is about the root of (1/n + 1/N) chi-square / (8 ln 2), over the bins in use."""
    mean, limit = np.sqrt(inverse * np.array([size - 1, chdtri(size - 1, level)]) / (8 * np.log(2)))
    return float(mean), float(limit)


def _ks(inverse: float, _size: int, _total: Ints, level: float) -> tuple[float, float]:
    """Kolmogorov's bound."""
    return float(_KOLMOGOROV * np.sqrt(inverse)), float(np.sqrt(-np.log(level / 2) / 2 * inverse))


def _l_infinity(inverse: float, size: int, total: Ints, level: float) -> tuple[float, float]:
    """A normal bound over all bins (Bonferroni)."""
    mean, limit = np.sqrt(inverse * _widest(total)) * np.array([1, ndtri(1 - level / (2 * size))])
    return float(mean), float(limit)


def _chi_square(inverse: float, size: int, _total: Ints, level: float) -> tuple[float, float]:
    return inverse * (size - 1), inverse * float(chdtri(size - 1, level))


def _by_row(window: distances.Counts, reference: distances.Counts) -> Floats:
    """Chi-square times 1/n + 1/N, which is of shares, as psi is."""
    n, rows = window.sum(axis=-1), reference.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(distances.chi_square(window, reference) * (1 / n + 1 / rows))


PSI = Measure(between=distances.psi, power=1, noise=_freedom, spread=lambda _: 1.0, iid=None)
JS_DISTANCE = Measure(
    between=distances.js_distance,
    power=1 / 2,
    noise=lambda total: _freedom(total) / (8 * np.log(2)),
    # The root of a chi-square has a standard deviation of half a unit, whatever its size.
    spread=lambda total: float(_freedom(total) ** -0.5),
    iid=_js,
)
KS = Measure(
    between=distances.ks,
    power=1 / 2,
    noise=lambda _: _KOLMOGOROV**2,
    # A difference of shares at the middle has a standard deviation of 1/2.
    spread=lambda _: 0.5 / _KOLMOGOROV,
    iid=_ks,
)
L_INFINITY = Measure(between=distances.l_infinity, power=1 / 2, noise=_widest, spread=lambda _: 1.0, iid=_l_infinity)
#: of shares; `_by_row` says what a row makes of it.
CHI_SQUARE = Measure(between=_by_row, power=1, noise=_freedom, spread=lambda _: 1.0, iid=_chi_square)


@lru_cache(maxsize=256)
def wasserstein(bins: Bins, sd: float) -> Measure:
    """Normed Wasserstein distance over a number's bins, each bin's rows at the mean of the reference's there, rows beyond the
    range at its ends: so it is a lower bound where many leave the range.

    Between samples of independent rows root n times it is the area under a Brownian bridge's absolute value: mean the
    integral of sqrt(2/pi F (1 - F)), and beyond its mean a Gaussian tail whose standard deviation is the rows' own, 1
    (Borell 1975).
    """
    positions = np.array(bins.centres) if bins.centres else middles(bins.edges)
    unit = sd if sd > 0 else 1.0

    def mean(total: Ints) -> float:
        below = np.cumsum(total)[:-1] / total.sum()
        return float((np.sqrt(2 / np.pi * below * (1 - below)) * np.diff(positions)).sum()) / unit

    def iid(inverse: float, _size: int, total: Ints, level: float) -> tuple[float, float]:
        root = float(np.sqrt(inverse))
        return root * mean(total), root * (mean(total) + float(ndtri(1 - level)))

    return Measure(
        # What varies where the reference does not is infinitely many of its standard deviations: a million, written down.
        between=lambda window, reference: np.minimum(
            distances.normed_wasserstein(window, reference, positions, sd), 1e6
        ),
        power=1 / 2,
        noise=lambda total: mean(total) ** 2,
        spread=lambda _: _BRIDGE,
        iid=iid,
    )

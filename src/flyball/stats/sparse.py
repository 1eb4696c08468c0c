"""psi where a bin may be left empty by chance: its tail, from the distribution of every bin's rows.

A day may hold few values of its own, however many its rows: fifty rows share one, by the hour or by the customer. Ten values
are expected in a bin then, and once in a thousand days one bin has none, which psi counts as much as all else together.
Sixty days do not show that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

from flyball.stats.distances import SMOOTHING

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Where every bin expects more values than this, the days' own psi shows its tail; bins of a smaller share than SMALL cost
#: little when they are empty.
PLENTY = 20.0
SMALL = 0.02
#: Fewer values than this a bin, and days differ by more than chance in any bin: what they hold of each other is no sample.
LEAST = 0.5
#: Standard deviations of psi's tilt at which its tail is looked at.
_TILTS = np.geomspace(0.5, 10, 14)


def sparse_limit(total: Ints, values: float, level: float) -> float:
    """What psi exceeds with probability `level` for a sample of `values` independent values against very many.

    `total`: the very many's counts, shape (bins,). Bins are independent and Poisson; the tail of the sum of their terms is
    that of Lugannani and Rice (1980), which where it was tried is passed 0.05 to 1.3 times as often as `level`
    says. 0 where the days' own psi does (`PLENTY`, `LEAST`).
    """
    share = total / total.sum()
    expected = values * share[share > 0]
    fewest = expected.min(where=expected >= SMALL * values, initial=np.inf)
    if len(expected) < 2 or fewest > PLENTY or values < LEAST * len(expected):
        return 0.0
    terms, log_mass = _terms(share, values)
    mass = np.exp(log_mass)
    variance = float(((mass * terms**2).sum(axis=1) - (mass * terms).sum(axis=1) ** 2).sum())
    if variance <= 0:
        return 0.0
    tilt = _TILTS / np.sqrt(variance)
    raised = log_mass + tilt[:, None, None] * terms
    highest = raised.max(axis=-1, keepdims=True)
    tilted = np.exp(raised - highest)
    mass_of = tilted.sum(axis=-1)
    mean = (tilted * terms).sum(axis=-1) / mass_of
    # Far out a bin's variance is 0, but for rounding.
    spread = np.sqrt(np.maximum((tilted * terms**2).sum(axis=-1) / mass_of - mean**2, 0).sum(axis=-1))
    psi, cumulant = mean.sum(axis=-1), (np.log(mass_of) + highest[..., 0]).sum(axis=-1)
    root = np.sqrt(2 * np.maximum(tilt * psi - cumulant, 1e-12))
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = ndtr(-root) + np.exp(-(root**2) / 2) / np.sqrt(2 * np.pi) * (1 / (tilt * spread) - 1 / root)
    # Far out every bin is at its end, and the formula at its own.
    known = np.minimum.accumulate(np.where(np.isfinite(tail) & (tail > 0), tail, 1e-300))
    return float(np.interp(-np.log(level), -np.log(known), psi))


def _terms(share: Floats, values: float) -> tuple[Floats, Floats]:
    """psi's term for each number of values in each bin, and that number's log-probability; shape (bins, numbers)."""
    expected = values * share
    most = float(expected.max())
    numbers = np.arange(int(most + 8 * np.sqrt(most) + 16))
    log_mass = numbers * np.log(np.maximum(expected, 1e-300))[:, None] - expected[:, None] - gammaln(numbers + 1)
    bins = len(share)
    p = (numbers / values + SMOOTHING) / (1 + bins * SMOOTHING)
    q = ((share + SMOOTHING) / (1 + bins * SMOOTHING))[:, None]
    return (p - q) * np.log(p / q), log_mass

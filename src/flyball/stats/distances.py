"""Distances between two distributions, each given as counts over the same bins.

Counts have shape (..., bins); leading axes broadcast, so that many windows are measured at once. An empty side gives
nan, never 0: nothing is not 'the same'.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | Floats

#: Added to every share before `psi` takes logarithms. One row in a thousand in a bin the reference never saw then moves
#: psi by 0.0007, and psi stays below 14.
SMOOTHING = 1e-3


def shares(counts: Counts) -> Floats:
    """Counts over their sum along the last axis; nan where the sum is 0."""
    total = counts.sum(axis=-1, keepdims=True)
    result: Floats = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    return result


def psi(window: Counts, reference: Counts) -> Floats:
    """Population stability index, sum of (p - q) ln(p / q) over smoothed shares; >= 0. Rule of thumb: 0.1 some, 0.25 much.

    Smoothing is additive and the same at any size: p = (share + SMOOTHING) / (1 + bins * SMOOTHING).
    """
    p, q = _smoothed(window), _smoothed(reference)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def psi_parts(window: Counts, reference: Counts) -> Floats:
    """Signed roots of psi's terms, shape (..., bins): their squares add up to psi."""
    p, q = _smoothed(window), _smoothed(reference)
    return np.asarray(np.sign(p - q) * np.sqrt((p - q) * np.log(p / q)))


def js_divergence(window: Counts, reference: Counts) -> Floats:
    """Jensen-Shannon divergence to base 2, in [0, 1] (Lin 1991); no smoothing is needed."""
    p, q = np.broadcast_arrays(shares(window), shares(reference))
    middle = (p + q) / 2
    return np.asarray(np.clip((_entropy(middle) - (_entropy(p) + _entropy(q)) / 2), 0, 1))


def js_distance(window: Counts, reference: Counts) -> Floats:
    """Root of the Jensen-Shannon divergence to base 2: a metric, in [0, 1]."""
    return np.sqrt(js_divergence(window, reference))


def ks(window: Counts, reference: Counts) -> Floats:
    """Kolmogorov and Smirnov's distance at the bins' borders, in [0, 1]; bins in ascending order."""
    apart = np.cumsum(shares(window), axis=-1) - np.cumsum(shares(reference), axis=-1)
    return np.asarray(np.abs(apart).max(axis=-1))


def l_infinity(window: Counts, reference: Counts) -> Floats:
    """The largest change of any bin's share, in [0, 1]."""
    return np.asarray(np.abs(shares(window) - shares(reference)).max(axis=-1))


def chi_square(window: Counts, reference: Counts) -> Floats:
    """Pearson's chi-square of two samples, >= 0, bins that hold no row of either left out; of counts, not of shares.

    Its degrees of freedom are the bins in use less one. nan where a side is empty.
    """
    both = window + reference
    n, rows = window.sum(axis=-1, keepdims=True), reference.sum(axis=-1, keepdims=True)
    apart = shares(window) - shares(reference)
    weight = np.divide(n * rows, both, out=np.zeros(np.broadcast_shapes(both.shape, n.shape)), where=both > 0)
    return np.asarray((apart**2 * weight).sum(axis=-1))


def normed_wasserstein(window: Counts, reference: Counts, positions: Floats, sd: float) -> Floats:
    """Earth mover's distance with each bin's rows at its position (shape (bins,), ascending), in standard deviations `sd`.

    0 where the reference does not vary (sd = 0) and neither do the windows; inf where only the windows do.
    """
    apart = np.abs(np.cumsum(shares(window), axis=-1) - np.cumsum(shares(reference), axis=-1))[..., :-1]
    work = np.asarray((apart * np.diff(positions)).sum(axis=-1))
    if sd > 0:
        return work / sd
    return np.where(work > 0, np.inf, work)


def _smoothed(counts: Counts) -> Floats:
    smoothed: Floats = (shares(counts) + SMOOTHING) / (1 + counts.shape[-1] * SMOOTHING)
    return smoothed


def _entropy(share: Floats) -> Floats:
    """In bits; 0 log 0 = 0."""
    bits: Floats = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=-1)
    return bits

"""The mean of what came true, with its interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from flyball.stats.estimate import Estimate


def mean_of(values: npt.ArrayLike, *, confidence: float, binary: bool = False) -> Estimate:
    """The mean of n finite values of shape (n,), with its two-sided interval at `confidence`; nan where it cannot be known.

    Of numbers Student's t with n - 1 degrees of freedom; of `binary` ones (0 or 1) Wilson's (1927), which holds near 0 and 1
    and for few rows.
    """
    found = np.asarray(values, dtype=np.float64)
    count = len(found)
    if not count:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), rows=0)
    mean = float(found.mean())
    if binary:
        z = float(ndtri((1 + confidence) / 2))
        middle, whole = mean + z**2 / (2 * count), 1 + z**2 / count
        half = z * np.sqrt(mean * (1 - mean) / count + z**2 / (4 * count**2))
        return Estimate(value=mean, low=float((middle - half) / whole), high=float((middle + half) / whole), rows=count)
    if count < 2:
        return Estimate(value=mean, low=float("nan"), high=float("nan"), rows=count)
    half = float(stdtrit(count - 1, (1 + confidence) / 2) * found.std(ddof=1) / np.sqrt(count))
    return Estimate(value=mean, low=mean - half, high=mean + half, rows=count)

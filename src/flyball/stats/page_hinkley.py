"""Where the mean of a stream rose, by Page-Hinkley's cumulative sum (Page 1954, Biometrika 41). Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

#: river's settings: rows before it speaks, the rise that is tolerated a row, the sum beyond its lowest that is a change, and
#: what a row leaves of the sum before it.
LEAST_ROWS = 30
TOLERATED = 0.005
THRESHOLD = 50.0
KEPT = 1 - 1e-4

#: rows over which weights grow by about half.
BLOCK = 4096


def rises(values: npt.NDArray[np.float64]) -> Iterator[int]:
    """The rows at which a rise was noticed; it begins anew after each. `values`: shape (n,), in time order.

    The same rows as river's `PageHinkley(mode="up")`, found for all rows at once.
    """
    began = 0
    while began < len(values):
        part = values[began:]
        rows = np.arange(1, len(part) + 1)
        beyond = _kept_sums(part - np.cumsum(part) / rows - TOLERATED)
        noticed = (beyond - np.minimum.accumulate(beyond) > THRESHOLD) & (rows >= LEAST_ROWS)
        if not noticed.any():
            return
        yield began + int(noticed.argmax())
        began += int(noticed.argmax()) + 1


def _kept_sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Running sums, of which each row leaves KEPT; a block at a time, as its weights must not grow too far apart."""
    sums, last = np.empty(len(values)), 0.0
    for first in range(0, len(values), BLOCK):
        block = values[first : first + BLOCK]
        weights = KEPT ** np.arange(1, len(block) + 1)
        sums[first : first + BLOCK] = weights * (last + np.cumsum(block / weights))
        last = float(sums[first + len(block) - 1])
    return sums

"""Exact sums over rows: what a window and every block of the reference keep of one feature.

Everything kept is a count or an integer sum, so the tallies of parts add up to the tally of the whole, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flyball.stats.bins import MISSING, Bins, Codes, as_levels, as_numbers, category_codes, number_codes, quantiles

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Sums are kept in integer steps of a scale / STEPS, which makes them exact (below 2**53) and their order immaterial.
STEPS = 2**20
#: Interquartile ranges from the median where values begin to count by their logarithm: about four standard deviations.
BEND = 3.0
#: Single values enter the mean at most this many standard deviations from the reference's mean.
MEAN_CLIP = 1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruler:
    """How a number's rows are measured; of no meaning for categories."""

    #: mean and standard deviation of the reference; sd 0 for a constant.
    mean: float = 0.0
    sd: float = 0.0
    #: median and interquartile range (sd where that is 0, 1 where that is 0 too): the origin and unit of `bent`.
    median: float = 0.0
    spread: float = 1.0
    #: standard deviation of `bent` over the reference.
    bent_sd: float = 0.0

    @property
    def unit(self) -> float:
        return (self.sd or self.spread) / STEPS

    def steps(self, values: npt.NDArray[np.float32]) -> Floats:
        """(x - mean) / unit, values far out brought in to MEAN_CLIP."""
        return np.clip((values.astype(np.float64) - self.mean) / self.unit, -MEAN_CLIP * STEPS, MEAN_CLIP * STEPS)

    def bent(self, values: npt.NDArray[np.float32]) -> Floats:
        """asinh((x - median) / (BEND * spread)): straight near the middle, logarithmic far out.

        Its mean moves with any shift, however far (it has no ceiling), yet a few huge values cannot make it jump.
        """
        bent: Floats = np.arcsinh((values.astype(np.float64) - self.median) / (BEND * self.spread))
        return bent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """Sums over the rows of one or more blocks; every array's first axis is the block."""

    #: shape (blocks, bins): rows with a value.
    counts: Ints
    #: shape (blocks,): rows without.
    missing: Ints
    #: shape (blocks,): sums of (x - mean) / unit, and of bent(x) * STEPS; 0 for categories.
    deviations: Ints
    bends: Ints

    @property
    def rows(self) -> Ints:
        """Rows with a value, shape (blocks,)."""
        rows: Ints = self.counts.sum(axis=1)
        return rows

    def total(self) -> Tally:
        """The blocks added up, as one block."""
        return Tally(
            counts=self.counts.sum(axis=0, keepdims=True),
            missing=self.missing.sum(keepdims=True),
            deviations=self.deviations.sum(keepdims=True),
            bends=self.bends.sum(keepdims=True),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            counts=self.counts + other.counts,
            missing=self.missing + other.missing,
            deviations=self.deviations + other.deviations,
            bends=self.bends + other.bends,
        )


def fit_ruler(ordered: npt.NDArray[np.float32]) -> Ruler:
    if len(ordered) == 0:
        return Ruler()
    low, median, high = (float(value) for value in quantiles(ordered, (0.25, 0.5, 0.75)))
    # A constant's sd is 0, whatever the rounding of its mean says.
    mean, sd = float(ordered.mean(dtype=np.float64)), float(ordered.std(dtype=np.float64))
    if ordered[0] == ordered[-1]:
        mean, sd = median, 0.0
    straight = Ruler(mean=mean, sd=sd, median=median, spread=(high - low) or sd or 1.0)
    bent_sd = float(straight.bent(ordered).std())
    return Ruler(mean=mean, sd=sd, median=median, spread=straight.spread, bent_sd=bent_sd)


def tally_of(bins: Bins, ruler: Ruler, column: npt.ArrayLike, index: Codes, blocks: int) -> Tally:
    """Count a column of shape (n,) whose row i belongs to block `index[i]` of `blocks`."""
    if bins.kind == "category":
        codes = category_codes(bins, as_levels(column))
        deviations = bends = np.zeros(blocks, dtype=np.int64)
    else:
        values = as_numbers(column)
        codes = number_codes(bins, values)
        finite, where = values[codes != MISSING], index[codes != MISSING]
        deviations = _integer_sums(ruler.steps(finite), where, blocks)
        bends = _integer_sums(ruler.bent(finite) * STEPS, where, blocks)
    present = codes != MISSING
    cells = index[present] * bins.size + codes[present]
    return Tally(
        counts=np.bincount(cells, minlength=blocks * bins.size).reshape(blocks, bins.size),
        missing=np.bincount(index[~present], minlength=blocks),
        deviations=deviations,
        bends=bends,
    )


def _integer_sums(values: Floats, index: Codes, blocks: int) -> Ints:
    return np.bincount(index, weights=np.rint(values), minlength=blocks).astype(np.int64)

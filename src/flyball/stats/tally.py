"""Exact sums over rows: what a window and every block of the reference keep of one feature.

Everything kept is a count or an integer sum, so the tallies of parts add up to the tally of the whole, in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.stats.bins import (
    MISSING,
    Bins,
    Coded,
    Codes,
    as_levels,
    as_numbers,
    category_codes,
    coded_bins,
    no_numbers,
    number_codes,
    quantiles,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Sums are kept in integer steps of a scale / STEPS, which makes them exact (below 2**53) and their order immaterial.
STEPS = 2**20
#: Interquartile ranges from the median where values begin to count by their logarithm: about four standard deviations.
BEND = 3.0
#: Single values enter the mean at most this many standard deviations from the reference's mean.
MEAN_CLIP = 1024.0
#: Interquartile ranges from the median at which `bent` ends, so that its square is a float32: a bent value of 42.
BENT_END = 1e18
#: Rows that are counted at once: they stay in the processor's cache.
CHUNK = 32_768


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

    def bent(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """asinh((x - median) / (BEND * spread)): straight near the middle, logarithmic far out.

        Its mean moves with any shift, however far (it has no ceiling), yet a few huge values cannot make it jump.
        """
        # asinh x = sign x * log(|x| + sqrt(x * x + 1)), in float32: seven times as fast as arcsinh, and as precise as the
        # steps in which it is kept.
        with np.errstate(over="ignore"):
            apart = (values - np.float32(self.median)) / np.float32(BEND * self.spread)
        size = np.minimum(np.abs(apart), np.float32(BENT_END))
        bent: npt.NDArray[np.float32] = np.copysign(np.log(size + np.sqrt(size * size + np.float32(1))), apart)
        return bent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """Sums over the rows of one or more blocks; every array's first axis is the block."""

    #: shape (blocks, bins): rows with a value.
    counts: Ints
    #: shape (blocks,): rows without,
    missing: Ints
    #: and those among them that hold what is no value of the kind: an infinity, text in a column of numbers.
    invalid: Ints
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
        return self.each(lambda sums: sums.sum(axis=0, keepdims=True))

    def at(self, blocks: npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]) -> Tally:
        """These blocks alone."""
        return self.each(lambda sums: sums[blocks])

    def __add__(self, other: Tally) -> Tally:
        return self._with(np.add, other)

    def __sub__(self, other: Tally) -> Tally:
        """What is left without `other`; one block stands for as many as the other side has."""
        return self._with(np.subtract, other)

    def each(self, do: Callable[[Ints], Ints]) -> Tally:
        """The same done to every sum."""
        return Tally(**{name: do(getattr(self, name)) for name in SUMS})

    def _with(self, do: Callable[[Ints, Ints], Ints], other: Tally) -> Tally:
        return Tally(**{name: do(getattr(self, name), getattr(other, name)) for name in SUMS})


#: what a tally consists of.
SUMS = ("counts", "missing", "invalid", "deviations", "bends")


def fit_ruler(ordered: npt.NDArray[np.float32]) -> Ruler:
    if len(ordered) == 0:
        return Ruler()
    low, median, high = (float(value) for value in quantiles(ordered, (0.25, 0.5, 0.75)))
    # A constant's sd is 0, whatever the rounding of its mean says.
    mean, sd = float(ordered.mean(dtype=np.float64)), float(ordered.std(dtype=np.float64))
    if ordered[0] == ordered[-1]:
        mean, sd = median, 0.0
    straight = Ruler(mean=mean, sd=sd, median=median, spread=(high - low) or sd or 1.0)
    bent_sd = float(straight.bent(ordered).std(dtype=np.float64))
    return Ruler(mean=mean, sd=sd, median=median, spread=straight.spread, bent_sd=bent_sd)


def tally_of(bins: Bins, ruler: Ruler, column: npt.ArrayLike | Coded, index: Codes, blocks: int) -> Tally:
    """Count a column of shape (n,) whose row i belongs to block `index[i]` of `blocks`."""
    invalid = deviations = bends = np.zeros(blocks, dtype=np.int64)
    if bins.kind == "category":
        codes = coded_bins(bins, column) if isinstance(column, Coded) else category_codes(bins, as_levels(column))
    else:
        assert not isinstance(column, Coded), "a number is not coded"
        values = as_numbers(column)
        codes = number_codes(bins, values)
        invalid = np.bincount(index[no_numbers(column, values)], minlength=blocks)
        finite, where = values[codes != MISSING], index[codes != MISSING]
        deviations = _integer_sums(ruler.steps(finite), where, blocks)
        bends = _integer_sums(ruler.bent(finite) * np.float32(STEPS), where, blocks)
    present = codes != MISSING
    cells = index[present] * bins.size + codes[present]
    return Tally(
        counts=np.bincount(cells, minlength=blocks * bins.size).reshape(blocks, bins.size),
        missing=np.bincount(index[~present], minlength=blocks),
        invalid=invalid,
        deviations=deviations,
        bends=bends,
    )


def tally_window(bins: Bins, ruler: Ruler, column: npt.ArrayLike | Coded) -> Tally:
    """The same of rows that are all of one block, for a number by sorting: several times as fast, and equal."""
    if bins.kind == "category" or isinstance(column, Coded):
        return tally_of(bins, ruler, column, np.zeros(len(column), dtype=np.int64), 1)  # type: ignore[arg-type]
    values = as_numbers(column)
    edges = np.asarray(bins.edges, dtype=np.float32)
    counts, missing, deviations, bends = np.zeros(bins.size, dtype=np.int64), 0, 0, 0
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        finite = np.isfinite(chunk)
        if not finite.all():
            chunk = chunk[finite]
        missing += len(finite) - len(chunk)
        chunk = np.sort(chunk)
        # Rows at or above each border, then between two; those on the last border belong below it.
        at_or_above = len(chunk) - np.searchsorted(chunk, edges, side="left")
        counts -= np.diff(at_or_above, prepend=len(chunk), append=0)
        on_last = int(at_or_above[-1]) - (len(chunk) - int(np.searchsorted(chunk, edges[-1], side="right")))
        counts[-2:] += np.array([on_last, -on_last])
        deviations += int(np.rint(ruler.steps(chunk)).sum())
        bends += int(np.rint(ruler.bent(chunk) * np.float32(STEPS)).sum(dtype=np.float64))
    # Where every row has a value none can be invalid.
    invalid = int(no_numbers(column, values).sum()) if missing else 0
    return Tally(
        counts=counts[None, :],
        missing=np.array([missing], dtype=np.int64),
        invalid=np.array([invalid], dtype=np.int64),
        deviations=np.array([deviations], dtype=np.int64),
        bends=np.array([bends], dtype=np.int64),
    )


def _integer_sums(values: npt.NDArray[np.floating[Any]], index: Codes, blocks: int) -> Ints:
    return np.bincount(index, weights=np.rint(values), minlength=blocks).astype(np.int64)

"""Slices of rows by one column, fitted once on the reference and frozen: which there are, and which one each row is in. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from flyball.stats.bins import Coded, Codes, as_levels, as_numbers, counted_levels, quantiles

Value = TypeVar("Value", str, float)

#: Slices of a column that a reference keeps: those with the most rows; and rows that a slice needs there.
MOST_SLICES = 10
MIN_SLICE_ROWS = 500
#: A number with more values than this is cut into quarters.
MOST_VALUES = 20

#: The place of a row that is in no slice.
NOWHERE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicer:
    """How a column cuts rows into slices."""

    column: str
    #: names of the slices, as in "origin=JFK".
    levels: tuple[str, ...]
    #: of a number: the value of each slice; or the borders of its quarters, one more than there are slices. Else neither.
    values: tuple[float, ...] = ()
    borders: tuple[float, ...] = ()

    @property
    def of_categories(self) -> bool:
        return not self.values and not self.borders

    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.column}={level}" for level in self.levels)

    def places(self, column: npt.ArrayLike | Coded) -> Codes:
        """Each row's slice, shape (n,); NOWHERE where it is in none."""
        if not self.of_categories:
            assert not isinstance(column, Coded), "a number is not coded"
            return self._of_numbers(as_numbers(column))
        known = {level: place for place, level in enumerate(self.levels)}
        if not isinstance(column, Coded):
            levels = as_levels(column)
            return np.fromiter((known.get(level, NOWHERE) for level in levels), dtype=np.int64, count=len(levels))
        named = as_levels(np.asarray(column.levels, dtype=object))
        table = np.array([*(known.get(level, NOWHERE) for level in named), NOWHERE], dtype=np.int64)
        found: Codes = table[np.where(column.codes < 0, len(named), column.codes)]
        return found

    def _of_numbers(self, values: npt.NDArray[np.float32]) -> Codes:
        if self.borders:
            borders = np.asarray(self.borders, dtype=np.float32)
            places = np.searchsorted(borders, values, side="right") - 1 - (values == borders[-1])
            return np.where((values >= borders[0]) & (values <= borders[-1]), places, NOWHERE)
        ascending = np.argsort(self.values)
        known = np.asarray(self.values, dtype=np.float32)[ascending]
        nearest = np.clip(np.searchsorted(known, values), 0, len(known) - 1)
        return np.where(known[nearest] == values, ascending[nearest], NOWHERE)


def fit_slicer(name: str, column: npt.ArrayLike | Coded, kind: str) -> Slicer:
    """The slices of the reference's rows: a category's levels, a number's values, or its quarters where it has many.

    Those with at least MIN_SLICE_ROWS rows, at most MOST_SLICES of them, most rows first. There may be none.
    """
    if kind == "category":
        return Slicer(column=name, levels=tuple(level for level, _ in _largest(counted_levels(column))))
    assert not isinstance(column, Coded), "a number is not coded"
    values = as_numbers(column)
    values = values[np.isfinite(values)]
    distinct, rows = np.unique(values, return_counts=True)
    if len(distinct) <= MOST_VALUES:
        kept = tuple(value for value, _ in _largest(dict(zip(distinct.tolist(), rows.tolist(), strict=True))))
        return Slicer(column=name, levels=tuple(f"{value:g}" for value in kept), values=kept)
    borders = np.unique(quantiles(np.sort(values), np.linspace(0, 1, 5))).tolist()
    if len(values) < MIN_SLICE_ROWS * (len(borders) - 1):
        return Slicer(column=name, levels=())
    levels = tuple(f"{low:g} to {high:g}" for low, high in pairwise(borders))
    return Slicer(column=name, levels=levels, borders=tuple(borders))


def _largest(counted: dict[Value, int]) -> list[tuple[Value, int]]:
    enough = [(level, rows) for level, rows in counted.items() if rows >= MIN_SLICE_ROWS]
    return sorted(enough, key=lambda item: (-item[1], item[0]))[:MOST_SLICES]

"""Bins fitted once on the reference and frozen: quantiles of a number, levels of a category; and rows put into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["number", "category"]
Codes = npt.NDArray[np.int64]

MAX_BINS = 20
MAX_LEVELS = 50
#: Levels beyond the first MAX_LEVELS are remembered by name up to this many, to tell 'other' from 'unseen'.
MAX_NAMED_LEVELS = 1_000

MISSING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """A feature's bins.

    Number: [below, [e0, e1), [e1, e2), ..., [.., e_last], above]; a value on the upper end that is frequent in itself has
    the last border twice and so a bin of its own. Category: [level, ..., other, unseen].
    """

    kind: Kind
    #: ascending borders from the reference's least to its greatest value, all of them values that occurred (float32).
    edges: tuple[float, ...] = ()
    #: of a number: the mean of the reference's rows in each bin; () in profiles of earlier releases.
    centres: tuple[float, ...] = ()
    #: most frequent first.
    levels: tuple[str, ...] = ()
    #: levels seen but too rare for a bin; None = too many to name: then what is in no bin is 'other', nothing 'unseen'.
    others: tuple[str, ...] | None = ()

    @property
    def size(self) -> int:
        return len(self.edges) + 1 if self.kind == "number" else len(self.levels) + 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coded:
    """A column of categories as Arrow and pandas hold them: each row's place in a list of levels."""

    #: shape (n,); MISSING (or any negative number) where there is no value.
    codes: npt.NDArray[np.integer[Any]]
    #: every level once, though a level need not occur.
    levels: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)


def as_numbers(column: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The column as float32, the precision in which rows are served: borders and rows must be rounded alike.

    What is no number (text in a column of numbers) becomes nan: a missing value.
    """
    values = np.asarray(column)
    with np.errstate(over="ignore"):
        try:
            numbers: npt.NDArray[np.float32] = values.astype(np.float32, copy=False)
        except (TypeError, ValueError):
            numbers = np.fromiter((_number(value) for value in values), dtype=np.float32, count=len(values))
    return numbers


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def no_numbers(column: npt.ArrayLike, values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which rows hold something that is no number, shape (n,): an infinity, or text; `values`: the column `as_numbers`."""
    rows: npt.NDArray[np.bool_] = np.isinf(values)
    given = np.asarray(column)
    if given.dtype.kind in "OUS":
        rows |= np.isnan(values) & np.fromiter((level != "" for level in as_levels(given)), np.bool_, len(values))
    return rows


def quantiles(ordered: npt.NDArray[np.float32], shares: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Values of the sorted, non-empty sample at these shares, without interpolation (inverted distribution function)."""
    # 0.15 * 100 is a hair above 15 in floating point; a hair must not be a row.
    index = np.ceil(np.asarray(shares) * len(ordered) - 1e-6).astype(np.int64) - 1
    values: npt.NDArray[np.float32] = ordered[np.clip(index, 0, len(ordered) - 1)]
    return values


def number_bins(ordered: npt.NDArray[np.float32]) -> Bins:
    """At most MAX_BINS bins of about equal counts from the sorted finite values, equal borders merged."""
    if len(ordered) == 0:
        return Bins(kind="number", edges=(0.0, 0.0))
    borders = quantiles(ordered, np.linspace(0, 1, MAX_BINS + 1))
    edges = np.unique(borders).tolist()
    if borders[-1] == borders[-2]:
        edges.append(edges[-1])
    bins = Bins(kind="number", edges=tuple(edges))
    codes = number_codes(bins, ordered)
    rows = np.bincount(codes, minlength=bins.size)
    sums = np.bincount(codes, ordered, minlength=bins.size)
    means = np.where(rows > 0, sums / np.maximum(rows, 1), middles(bins.edges))
    return Bins(kind="number", edges=bins.edges, centres=tuple(means.tolist()))


def middles(edges: Sequence[float]) -> npt.NDArray[np.float64]:
    """Of each bin, shape (bins,); what lies beyond the borders is taken to lie at them."""
    ends = np.asarray(edges, dtype=np.float64)
    return np.concatenate([ends[:1], (ends[:-1] + ends[1:]) / 2, ends[-1:]])


def counted_levels(column: npt.ArrayLike | Coded) -> dict[str, int]:
    """Level -> rows, of levels that occur; what is missing is no level."""
    if isinstance(column, Coded):
        rows = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
        found = {level: count for level, count in zip(column.levels, rows.tolist(), strict=True) if count}
    else:
        found = dict(Counter(as_levels(column)))
    found.pop("", None)
    return found


def category_bins(counted: Mapping[str, int]) -> Bins:
    """Of `counted_levels`: the MAX_LEVELS most frequent levels, equal frequencies in order of their names.

    Where there are more, a level has a bin only if it is more frequent than the first one left out by more than chance
    (four standard deviations): the most frequent of many alike are so by luck, and would fall back in every window.
    """
    ranked = [level for level, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
    named = len(ranked) <= MAX_NAMED_LEVELS
    kept = len(ranked)
    if kept > MAX_LEVELS:
        left_out = counted[ranked[MAX_LEVELS]]
        kept = sum(counted[level] > left_out + 4 * left_out**0.5 for level in ranked[:MAX_LEVELS])
    return Bins(kind="category", levels=tuple(ranked[:kept]), others=tuple(ranked[kept:]) if named else None)


def as_levels(column: npt.ArrayLike) -> list[str]:
    """The column as text; None, nan and "" are missing and become ""."""
    values: list[Any] = np.asarray(column, dtype=object).tolist()
    return [value if isinstance(value, str) else _level(value) for value in values]


def _level(value: object) -> str:
    # nan is the one value unequal to itself; pandas' NA refuses to be compared and says so by its name.
    return "" if value is None or str(value) in {"nan", "<NA>", "NaT"} else str(value)


def number_codes(bins: Bins, values: npt.NDArray[np.float32]) -> Codes:
    """The bin of each row; MISSING where the value is nan or infinite."""
    edges = np.asarray(bins.edges, dtype=np.float32)
    codes = np.searchsorted(edges, values, side="right") - (values == edges[-1])
    return np.where(np.isfinite(values), codes, MISSING)


def category_codes(bins: Bins, levels: Sequence[str]) -> Codes:
    """The bin of each row; MISSING where the level is ""."""
    other = len(bins.levels)
    known = {level: code for code, level in enumerate(bins.levels)} | dict.fromkeys(bins.others or (), other)
    known[""] = MISSING
    unknown = other if bins.others is None else other + 1
    return np.fromiter(map(known.get, levels, repeat(unknown)), dtype=np.int64, count=len(levels))


def coded_bins(bins: Bins, column: Coded) -> Codes:
    """The bin of each row, each level being looked up once."""
    table = np.append(category_codes(bins, as_levels(np.asarray(column.levels, dtype=object))), MISSING)
    places = np.where(column.codes < 0, len(column.levels), column.codes)
    found: Codes = table[places]
    return found

"""Rows as JSON holds them become columns, or a `Violation` that names each row and column at fault.

Every request passes here. Whole batches are converted at once; only a batch that does not go through that way is
looked at value by value (`engine.diagnose`). Types are strict: a text never becomes a number, nor does a boolean.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.engine.contract import Columns, Contract, Layout, Pick, Table
from flyball.engine.diagnose import Problem, Violation, read_records, read_split
from flyball.engine.timestamps import respell

__all__ = ["Problem", "Violation", "columns_from_records", "columns_from_split"]

_NUMBER: frozenset[type] = frozenset({float, int, NoneType})
_BOOLEAN: frozenset[type] = frozenset({bool, float, int, NoneType})
_CATEGORY: frozenset[type] = frozenset({str, NoneType})


def columns_from_records(contract: Contract, rows: Sequence[Any], *, booleans: bool = True) -> Columns:
    """The columns of a list of objects, each `{feature: value}` with every feature and nothing else.

    `booleans`: whether there may be any among the values; numbers are checked faster where there surely is none.
    Raises `Violation`. Values never seen in training (another category, a number out of range) are no violation.
    """
    layout = contract.layout
    width = len(layout.names)
    # As many keys as features, and (since picking succeeds) all features among them: so no unknown one.
    if set(map(type, rows)) == {dict} and set(map(len, rows)) == {width}:
        table = _in_bulk(layout, rows, layout.of_record, booleans=booleans)
        if table is not None:
            return table
    return read_records(contract, rows)


def columns_from_split(
    contract: Contract, columns: Sequence[str], data: Sequence[Sequence[Any]], *, booleans: bool = True
) -> Columns:
    """The columns of `{"columns": [...], "data": [[...], ...]}`; the columns may come in any order.

    `booleans` as for `columns_from_records`. Raises `Violation`.
    """
    layout = contract.layout
    width = len(layout.names)
    if set(map(type, data)) == {list} and set(map(len, data)) == {width} == {len(columns)}:
        try:
            picks = layout.of_columns(columns)
        except (KeyError, TypeError):
            return read_split(contract, columns, data)
        table = _in_bulk(layout, data, picks, booleans=booleans)
        if table is not None:
            return table
    return read_split(contract, columns, data)


def _in_bulk(layout: Layout, rows: Sequence[Any], picks: tuple[Pick, Pick], *, booleans: bool) -> Table | None:
    """The whole batch at once; None where anything at all is unusual, to be looked at with care."""
    try:
        numbers = None if booleans else _packed(layout, rows, picks[0])
        if numbers is None:
            numbers = _numbers(layout, list(map(picks[0], rows)))
        categories = _categories(layout, rows, picks[1])
    except (KeyError, OverflowError):  # a feature is missing; an integer too large for a float
        return None
    return None if numbers is None or categories is None else Table(layout, numbers, categories)


def _packed(layout: Layout, rows: Sequence[Any], pick: Pick) -> npt.NDArray[np.float32] | None:
    """`_numbers` of rows without booleans, which alone `struct` would take for numbers: a third of the time."""
    pack = struct.Struct(f"{len(layout.numbers)}f").pack
    in_order = pick is layout.of_list[0] and not layout.categories
    try:
        content = b"".join([pack(*row) for row in rows] if in_order else [pack(*pick(row)) for row in rows])
    except struct.error:  # a value that is missing, or no number
        return None
    matrix = np.frombuffer(content, dtype=np.float32).reshape(len(rows), len(layout.numbers))
    return matrix if fits(layout, matrix) else None


def _numbers(layout: Layout, values: list[tuple[Any, ...]]) -> npt.NDArray[np.float32] | None:
    if not _number_types(layout, values):
        return None
    shape = (len(values), len(layout.numbers))
    with np.errstate(over="ignore"):  # what overflows float32 is infinite, and seen below
        matrix = np.fromiter(chain.from_iterable(values), np.float32, shape[0] * shape[1]).reshape(shape)
    return matrix if fits(layout, matrix) else None


def fits(layout: Layout, matrix: npt.NDArray[np.float32]) -> bool:
    """Whether numbers, of shape (rows, `layout.numbers`), are what each column takes; NaN is missing."""
    finite = np.isfinite(matrix)
    if not _all(finite) and not _all(finite | (np.isnan(matrix) & layout.numbers_nullable)):
        return False
    if layout.integers.size:
        part = matrix.take(layout.integers, axis=1)
        if not _all((part == np.rint(part)) | np.isnan(part)):
            return False
    if layout.booleans.size:
        part = matrix.take(layout.booleans, axis=1)
        return _all((part == 0) | (part == 1) | np.isnan(part))
    return True


def _number_types(layout: Layout, values: list[tuple[Any, ...]]) -> bool:
    if not layout.booleans.size:
        return _NUMBER.issuperset(map(type, chain.from_iterable(values)))
    booleans, others = layout.of_numbers
    return _BOOLEAN.issuperset(map(type, chain.from_iterable(map(booleans, values)))) and _NUMBER.issuperset(
        map(type, chain.from_iterable(map(others, values)))
    )


def _categories(layout: Layout, rows: Sequence[Any], pick: Pick) -> npt.NDArray[np.object_] | None:
    shape = (len(rows), len(layout.categories))
    if not shape[1]:
        return np.empty(shape, dtype=np.object_)
    flat = list(chain.from_iterable(map(pick, rows)))
    types = set(map(type, flat))
    if not types <= _CATEGORY:
        return None
    if NoneType not in types and "" not in flat and not layout.timestamps:
        return np.fromiter(flat, np.object_, len(flat)).reshape(shape)
    matrix = np.fromiter([value or "" for value in flat], np.object_, len(flat)).reshape(shape)
    if layout.timestamps and not respell(matrix, layout.timestamps):
        return None
    return matrix if _all((matrix != "") | layout.categories_nullable) else None


def _all(truths: npt.NDArray[np.bool_]) -> bool:
    # `truths.all()` takes four times as long on one row.
    return bool(np.count_nonzero(truths) == truths.size)

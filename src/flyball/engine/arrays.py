"""Arrays, one a feature, become columns: for protocols that carry numbers as bytes instead of as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.engine.check import fits
from flyball.engine.contract import Columns, Contract, Layout, Table
from flyball.engine.diagnose import read_split
from flyball.engine.timestamps import respell


def columns_from_arrays(contract: Contract, arrays: Mapping[str, npt.NDArray[Any]]) -> Columns:
    """The columns of arrays by name, each of shape (rows,): numbers and booleans of any width, text as objects (str).

    Raises `Violation`, naming row and column, as for the same values in JSON.
    """
    layout = contract.layout
    if arrays.keys() == layout.place.keys():
        table = _in_bulk(layout, arrays)
        if table is not None:
            return table
    rows = zip(*(array.tolist() for array in arrays.values()), strict=True)
    return read_split(contract, list(arrays), list(rows))


def _in_bulk(layout: Layout, arrays: Mapping[str, npt.NDArray[Any]]) -> Table | None:
    """The whole batch at once; None where anything at all is unusual."""
    rows = len(next(iter(arrays.values())))
    numbers = np.empty((rows, len(layout.numbers)), dtype=np.float32)
    categories = np.empty((rows, len(layout.categories)), dtype=np.object_)
    booleans = {layout.numbers[index] for index in layout.booleans}
    with np.errstate(over="ignore"):  # what overflows float32 is infinite, and seen below
        for index, name in enumerate(layout.numbers):
            if arrays[name].dtype.kind not in ("biuf" if name in booleans else "iuf"):
                return None
            numbers[:, index] = arrays[name]
    for index, name in enumerate(layout.categories):
        if arrays[name].dtype.kind != "O":
            return None
        categories[:, index] = arrays[name]
    if not respell(categories, layout.timestamps):
        return None
    if not rows or not fits(layout, numbers) or not ((categories != "") | layout.categories_nullable).all():
        return None
    return Table(layout, numbers, categories)

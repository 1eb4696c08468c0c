"""A pandas table becomes columns: the training side, in bulk, whatever dtypes hold the values.

Imports pandas only when called, which whoever has a table has done already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flyball.engine.contract import Columns, Contract, Table
from flyball.engine.datetimes import stamp_column
from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd


def columns_from_frame(contract: Contract, frame: pd.DataFrame) -> Columns:
    """The contract's columns of `frame`; others are left out. None, NaN, NA and NaT become missing values.

    Kinds and dtypes may differ as long as the values fit. Raises `Mistake` naming the column.
    """
    layout = contract.layout
    for name in layout.names:
        if name not in frame.columns:
            raise Mistake(f"the table lacks column {name!r}; it has {', '.join(map(str, frame.columns))}")
    numbers = np.empty((len(frame), len(layout.numbers)), dtype=np.float32)
    categories = np.empty((len(frame), len(layout.categories)), dtype=np.object_)
    spellings = dict(layout.timestamps)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        for name, (is_number, index) in layout.place.items():
            if is_number:
                numbers[:, index] = number_column(name, frame[name])
            elif index in spellings:
                categories[:, index] = stamp_column(name, frame[name], spellings[index])
            else:
                categories[:, index] = text_column(name, frame[name])
    return Table(layout, numbers, categories)


def number_column(name: str, series: Any) -> npt.NDArray[np.float64]:
    """A column of numbers or booleans; missing values are NaN. Raises `Mistake`."""
    from pandas.api import types  # slow: pandas

    values = series.astype(object) if series.dtype == "category" else series
    if values.dtype == object:
        present = values.notna()
        _require(name, values[present], (bool, int, float, np.number, np.bool_), "numbers")
        values = values.where(present, np.nan)
    elif not types.is_numeric_dtype(values.dtype):
        raise Mistake(f"column {name!r} holds {series.dtype} values, needs numbers; convert it before training")
    column: npt.NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return column


def text_column(name: str, series: Any) -> npt.NDArray[np.object_]:
    """A column of text; missing values are "". Raises `Mistake`."""
    import pandas as pd  # slow

    if isinstance(series.dtype, pd.StringDtype):  # text by its type: no need to look at every value
        known: npt.NDArray[np.object_] = series.fillna("").to_numpy(dtype=np.object_)
        return known
    values = series.astype(object)
    present = values.notna()
    _require(name, values[present], (str,), "text")
    column: npt.NDArray[np.object_] = values.where(present, "").to_numpy(dtype=np.object_)
    return column


def _require(name: str, values: Any, types: tuple[type, ...], what: str) -> None:
    for found in set(map(type, values)):
        if not issubclass(found, types):
            raise Mistake(f"column {name!r} holds {found.__name__} values, needs {what}; convert it before training")

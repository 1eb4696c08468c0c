"""The pandas table a native model was fitted on, rebuilt from blocks of numbers and text: its dtypes are part of a bundle.

What a model does with a column may hang on its dtype: an encoder tells None from NaN, a booster reads `category`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.engine.contract import Contract, Feature, Kind, Table
from flyball.engine.datetimes import series_of
from flyball.errors import Mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How one feature was held in training."""

    name: str
    #: pandas' name of it: float64, int64, bool, str, category, datetime64[us, Europe/Berlin], object.
    dtype: str
    #: of a `category` column: its values, in order.
    categories: tuple[Any, ...] | None = None
    ordered: bool = False
    #: an object column's missing value is None, and not NaN.
    none: bool = False
    #: what an object column of times holds.
    times: Literal["date", "datetime", "Timestamp"] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Column:
        levels = value["categories"]
        return Column(**{**value, "categories": None if levels is None else tuple(levels)})


def describe(contract: Contract, frame: pd.DataFrame) -> tuple[Column, ...]:
    """How the contract's features are held in `frame`, in its order."""
    return tuple(_describe(name, frame[name]) for name in contract.names())


def rebuilt(contract: Contract, columns: Sequence[Column], table: Table) -> pd.DataFrame:
    """`table` as a frame in the dtypes of training. A value that a `category` column never had is missing."""
    found: dict[str, Any] = {}
    for column, feature in zip(columns, contract.features, strict=True):
        found[column.name] = _column(column, feature, table[column.name])
    return pd.DataFrame(found, columns=list(contract.names()))


def rounded(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows as they can be asked for: numbers in the precision of float32, times in microseconds."""
    numbers = {name: frame[name].astype("float32") for name in names if frame[name].dtype.kind in "iuf"}
    nanoseconds = [name for name in names if frame[name].dtype.kind == "M" and "[ns" in str(frame[name].dtype)]
    coarse = {**numbers, **{name: frame[name].dt.as_unit("us") for name in nanoseconds}}
    return frame.assign(**{name: column.astype(frame[name].dtype) for name, column in coarse.items()})


def _describe(name: str, column: Any) -> Column:
    if column.dtype == "category":
        levels = column.cat.categories.tolist()
        if not all(isinstance(level, str | int | float | bool) for level in levels):
            raise Mistake(f"column {name!r} has categories of {column.cat.categories.dtype}; make them text or numbers")
        return Column(name=name, dtype="category", categories=tuple(levels), ordered=bool(column.cat.ordered))
    missing = column[column.isna()] if column.dtype == object else column.iloc[:0]
    none = len(missing) > 0 and missing.iloc[0] is None
    return Column(name=name, dtype=str(column.dtype), none=none, times=_times_in(column))


def _times_in(column: Any) -> Literal["date", "datetime", "Timestamp"] | None:
    held = next(iter(column.dropna()), None) if column.dtype == object else None
    if isinstance(held, pd.Timestamp):
        return "Timestamp"
    if isinstance(held, date):
        return "datetime" if isinstance(held, datetime) else "date"
    return None


def _column(column: Column, feature: Feature, values: npt.NDArray[Any]) -> Any:
    if feature.kind == "timestamp":
        return _times(column, series_of(values, feature.timezone))
    return _texts(column, values) if feature.kind == "category" else _numbers(column, feature.kind, values)


def _times(column: Column, times: Any) -> Any:
    if column.times is None:
        return times.astype(column.dtype)
    make = {"date": pd.Timestamp.date, "datetime": pd.Timestamp.to_pydatetime}.get(column.times, pd.Timestamp)
    nothing = None if column.none else pd.NaT
    objects = np.empty(len(times), dtype=np.object_)
    objects[:] = [nothing if time is pd.NaT else make(time) for time in times]
    return pd.Series(objects, dtype=object)


def _texts(column: Column, values: npt.NDArray[np.object_]) -> Any:
    if column.categories is not None:
        return _category(column, np.asarray(column.categories, dtype=np.object_), values)
    objects = values.copy()
    objects[values == ""] = None if column.none else np.nan
    return _in_dtype(column, objects)


def _numbers(column: Column, kind: Kind, values: npt.NDArray[np.float32]) -> Any:
    if column.categories is not None:
        return _category(column, np.asarray(column.categories, dtype=np.float32), values)
    if column.dtype == "object":
        make = {"boolean": bool, "integer": int}.get(kind, float)
        nothing = None if column.none else np.nan
        objects = np.empty(len(values), dtype=np.object_)
        objects[:] = [nothing if value != value else make(value) for value in values.tolist()]
        return _in_dtype(column, objects)
    return _in_dtype(column, values.astype(np.float64))


def _category(column: Column, levels: Any, values: npt.NDArray[Any]) -> Any:
    index: Any = pd.Index(levels)
    dtype: Any = pd.CategoricalDtype(list(column.categories or ()), ordered=column.ordered)
    return pd.Categorical.from_codes(index.get_indexer(values), dtype=dtype)


def _in_dtype(column: Column, values: Any) -> Any:
    series: Any = pd.Series(values, dtype=values.dtype)  # else text is made `str`, and None is gone
    return series.astype(column.dtype)

"""A table in the dtypes of training, made again from numbers and text."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import infer_contract
from flyball.engine.rebuild import Column, describe, rebuilt, rounded
from flyball.engine.session import as_table
from flyball.errors import Mistake

#: taken for local times of Berlin, the first would be there twice and the second never.
TIMES = pd.Series(np.array(["2013-10-27T00:30:00", "2013-03-31T01:30:00", "NaT"], "datetime64[us]"))
COLUMNS: dict[str, Any] = {
    "float64": pd.Series([1.5, 2.0, np.nan]),
    "float32": pd.Series([1.5, 2.0, np.nan], dtype="float32"),
    "int64": pd.Series([1, 2, 3]),
    "nullable integer": pd.Series([1, None, 3], dtype="Int64"),
    "boolean": pd.Series([True, False, True]),
    "nullable boolean": pd.Series([True, None, False], dtype="boolean"),
    "booleans and None": pd.Series([True, None, False], dtype=object),
    "numbers and None": pd.Series([1.5, None, 2.0], dtype=object),
    "text": pd.Series(["a", "b", None], dtype="str"),
    "text and None": pd.Series(["a", None, "b"], dtype=object),
    "text and NaN": pd.Series(["a", np.nan, "b"], dtype=object),
    "category of text": pd.Series(["a", None, "b"], dtype=pd.CategoricalDtype(["b", "a", "c"])),
    "ordered category": pd.Series(["a", "c", "b"], dtype=pd.CategoricalDtype(["b", "a", "c"], ordered=True)),
    "category of numbers": pd.Series([10, 30, 10], dtype=pd.CategoricalDtype([30, 10, 20])),
    "times": TIMES,
    "times in seconds": TIMES.astype("datetime64[s]"),
    "times in nanoseconds": TIMES.astype("datetime64[ns]"),
    "times in UTC": TIMES.dt.tz_localize("UTC").astype("datetime64[ns, UTC]"),
    "times in a zone": TIMES.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
    "times at an offset": TIMES.dt.tz_localize("UTC").dt.tz_convert("UTC-05:30"),
    "times beyond nanoseconds": pd.Series(np.array(["0001-01-01", "NaT", "9999-12-31"], "datetime64[s]")),
    "no time at all": pd.Series(np.array(["NaT", "NaT", "NaT"], "datetime64[us]")),
    "times of Arrow": TIMES.dt.tz_localize("UTC").astype("timestamp[us, tz=UTC][pyarrow]"),
    "dates of Arrow": pd.Series([date(2013, 8, 1), None, date(1900, 1, 1)]).astype("date32[day][pyarrow]"),
    "dates": pd.Series([date(2013, 8, 1), None, date(1900, 1, 1)], dtype=object),
    "datetimes": pd.Series([datetime(2013, 8, 1, 5), pd.NaT, datetime(1900, 1, 1)], dtype=object),
    "datetimes in a zone": pd.Series([datetime(2013, 8, 1, tzinfo=ZoneInfo("Asia/Kathmandu")), None], dtype=object),
    "Timestamps": pd.Series([pd.Timestamp("2013-08-01", tz="UTC"), None], dtype=object),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_as_it_was_in_training(name: str) -> None:
    """Its dtype, its values and what stands for a missing one."""
    frame = pd.DataFrame({"x": COLUMNS[name]})
    contract = infer_contract(frame, model="m", task="regression", features=["x"], classes=(), positive=None)
    columns = tuple(Column.from_json(column.to_json()) for column in describe(contract, frame))
    table = as_table(contract.layout, columns_from_frame(contract, frame))
    got = rebuilt(contract, columns, table)
    pd.testing.assert_frame_equal(got, frame)
    if frame["x"].dtype == object:
        assert list(map(type, got["x"])) == list(map(type, frame["x"]))


def test_a_value_no_category_has_is_missing() -> None:
    """As pandas has it for a value that is not of its dtype."""
    frame = pd.DataFrame({"x": pd.Series(["a", "b"], dtype="category"), "n": pd.Series([1, 2], dtype="category")})
    contract = infer_contract(frame, model="m", task="regression", features=["x", "n"], classes=(), positive=None)
    asked = as_table(contract.layout, {"x": np.array(["b", "z"], dtype=object), "n": np.array([2.0, 7.0], np.float32)})
    got = rebuilt(contract, describe(contract, frame), asked)
    assert got["x"].tolist()[:1] == ["b"]
    assert got["n"].tolist()[:1] == [2]
    assert got.isna().to_numpy().tolist() == [[False, False], [True, True]]


def test_columns_stand_in_the_order_of_the_contract() -> None:
    """Numbers and text lie in two blocks; a model by position must not see that."""
    frame = pd.DataFrame({"t": ["a"], "n": [1.0], "s": ["b"]})
    contract = infer_contract(frame, model="m", task="regression", features=["s", "n", "t"], classes=(), positive=None)
    table = as_table(contract.layout, columns_from_frame(contract, frame))
    assert rebuilt(contract, describe(contract, frame), table).iloc[0].tolist() == ["b", 1.0, "a"]


def test_categories_that_json_cannot_hold_are_refused() -> None:
    """Their values are part of the bundle."""
    frame = pd.DataFrame({"x": pd.Series(pd.to_datetime(["2013-01-01"])).astype("category"), "n": [1.0]})
    contract = infer_contract(
        frame.assign(x="a"), model="m", task="regression", features=["x"], classes=(), positive=None
    )
    with pytest.raises(Mistake, match=r"'x' has categories of datetime64.*make them text or numbers"):
        describe(contract, frame)


def test_rounding_keeps_dtypes_and_whatever_is_no_number() -> None:
    """0.1 is no float32; its nearest one is 0.100000001490116..."""
    frame = pd.DataFrame({"x": [0.1, np.nan], "k": [16_777_217, 3], "t": ["a", "b"], "b": [True, False]})
    got = rounded(frame, ["x", "k", "t", "b"])
    assert got["x"][0] == 0.10000000149011612
    assert got["k"].tolist() == [16_777_216, 3]
    assert (got.dtypes == frame.dtypes).all()
    assert got[["t", "b"]].equals(frame[["t", "b"]])
    assert frame["x"][0] == 0.1


def test_rounding_cuts_times_to_microseconds() -> None:
    """As a request's text is cut."""
    frame = pd.DataFrame({"t": pd.Series(np.array(["1969-12-31T23:59:59.999999999", "NaT"], "datetime64[ns]"))})
    got = rounded(frame, ["t"])
    assert got["t"][0] == pd.Timestamp("1969-12-31T23:59:59.999999")
    assert (got.dtypes == frame.dtypes).all()


def test_times_of_another_contract_are_an_error_and_no_guess() -> None:
    """A shadow may have been trained without a zone where the live version has one."""
    frame = pd.DataFrame({"t": pd.to_datetime(["2013-08-01T12:00"])})
    contract = infer_contract(frame, model="m", task="regression", features=["t"], classes=(), positive=None)
    asked = as_table(contract.layout, {"t": np.array(["2013-08-01T12:00:00.000000Z"], dtype=object)})
    with pytest.raises(ValueError, match="with and without a zone"):
        rebuilt(contract, describe(contract, frame), asked)

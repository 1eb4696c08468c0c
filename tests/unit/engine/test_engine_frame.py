"""A pandas table of any dtypes becomes columns, and tells a contract."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from flyball.engine.check import columns_from_records
from flyball.engine.contract import Contract, Feature, Kind
from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import infer_contract
from flyball.errors import Mistake

BERLIN = ZoneInfo("Europe/Berlin")


class Nameless(tzinfo):
    """A zone as some library may make one."""

    def utcoffset(self, at: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, at: datetime | None) -> None:
        return None


NAMELESS = Nameless()


def one(kind: Kind, **more: Any) -> Contract:
    feature = Feature(name="x", kind=kind, nullable=True, **more)
    return Contract(model="m", task="regression", features=(feature,), classes=(), positive=None, example={})


def regression(frame: pd.DataFrame) -> Contract:
    return infer_contract(frame, model="m", task="regression", features=list(frame), classes=(), positive=None)


@pytest.mark.parametrize(
    ("kind", "series", "expected"),
    [
        ("number", pd.Series([1.5, None]), [1.5, np.nan]),
        ("number", pd.Series([1, 2], dtype="int8"), [1.0, 2.0]),
        ("number", pd.Series([1, None], dtype="Int64"), [1.0, np.nan]),
        ("number", pd.Series([1, None], dtype="category"), [1.0, np.nan]),
        ("number", pd.Series([True, 2.5, None], dtype=object), [1.0, 2.5, np.nan]),
        ("number", pd.Series([1e300]), [np.inf]),
        ("boolean", pd.Series([True, False]), [1.0, 0.0]),
        ("boolean", pd.Series([True, None], dtype="boolean"), [1.0, np.nan]),
        ("boolean", pd.Series([True, None, False]), [1.0, np.nan, 0.0]),
        ("boolean", pd.Series([True, None], dtype="category"), [1.0, np.nan]),
    ],
)
def test_numbers_of_any_dtype_become_float32(kind: Kind, series: Any, expected: list[float]) -> None:
    """None and NA are NaN."""
    column = columns_from_frame(one(kind), pd.DataFrame({"x": series}))["x"]
    assert column.dtype == np.float32
    np.testing.assert_array_equal(column, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("dtype", ["str", "string", "category", object])
def test_text_of_any_dtype_becomes_text(dtype: Any) -> None:
    """A missing category is an empty text."""
    frame = pd.DataFrame({"x": pd.Series(["a", None, "b"], dtype=dtype)})
    assert columns_from_frame(one("category"), frame)["x"].tolist() == ["a", "", "b"]


@pytest.mark.parametrize(
    ("kind", "series", "text"),
    [
        ("number", pd.Series(["1", "2"]), "'x' holds str values, needs numbers"),
        ("number", pd.Series(["1", 2], dtype=object), "'x' holds str values, needs numbers"),
        ("number", pd.to_datetime(pd.Series(["2013-01-01"])), "'x' holds datetime64.* needs numbers"),
        ("category", pd.Series([1, 2]), "'x' holds int values, needs text"),
    ],
)
def test_values_of_another_kind_are_refused(kind: Kind, series: Any, text: str) -> None:
    """Nothing is converted behind the user's back."""
    with pytest.raises(Mistake, match=text):
        columns_from_frame(one(kind), pd.DataFrame({"x": series}))


ZONED = {"timezone": "Europe/Berlin"}
NOON = ["2013-08-01T12:00:00.000000", ""]
NOON_UTC = ["2013-08-01T12:00:00.000000Z", ""]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_unit_and_zone_become_one_text(unit: str) -> None:
    """In UTC where the column has a zone, as they stand where it has none; a missing one is an empty text."""
    times = pd.Series(pd.to_datetime(["2013-08-01T12:00:00", None])).astype(f"datetime64[{unit}]")
    assert columns_from_frame(one("timestamp"), pd.DataFrame({"x": times}))["x"].tolist() == NOON
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "UTC-05:30"):
        zoned = pd.DataFrame({"x": times.dt.tz_localize("UTC").dt.tz_convert(zone)})
        assert columns_from_frame(one("timestamp", **ZONED), zoned)["x"].tolist() == NOON_UTC


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([datetime(2013, 8, 1, 12), None], NOON),
        ([pd.Timestamp("2013-08-01T12:00"), pd.NaT], NOON),
        ([date(2013, 8, 1), None], ["2013-08-01T00:00:00.000000", ""]),
        (["2013-08-01 12:00", None], NOON),
        ([None, None], ["", ""]),
        ([datetime(2013, 8, 1, 14, tzinfo=BERLIN), None], NOON_UTC),
        (["2013-08-01T14:00+02:00", ""], NOON_UTC),
    ],
)
def test_times_held_as_objects_or_text_become_one_text(values: list[Any], expected: list[str]) -> None:
    """Text, as a CSV file has it, is read as a request's would be."""
    contract = one("timestamp", **(ZONED if expected == NOON_UTC else {}))
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    assert columns_from_frame(contract, frame)["x"].tolist() == expected


@pytest.mark.parametrize(
    ("zone", "series", "text"),
    [
        (None, pd.Series(pd.to_datetime(["2013-08-01"], utc=True)), "holds times with a zone, needs none"),
        ("UTC", pd.Series(pd.to_datetime(["2013-08-01"])), "holds times with no zone, needs one"),
        ("UTC", pd.Series(["2013-08-01T12:00Z", "2013-08-01"]), "row 1: column 'x': got a date-time without a zone"),
        (None, pd.Series([1.5]), "holds float values, needs times"),
        (None, pd.Series(np.array(["9999-12-31"], "datetime64[s]")), "that are not from 1677-09-21"),
    ],
)
def test_times_that_are_not_as_in_training_are_refused(zone: str | None, series: Any, text: str) -> None:
    """A wall clock's time is no instant, and no zone is guessed."""
    with pytest.raises(Mistake, match=text):
        columns_from_frame(one("timestamp", timezone=zone), pd.DataFrame({"x": series}))


def test_a_missing_column_is_named() -> None:
    """With the columns there are."""
    with pytest.raises(Mistake, match="lacks column 'x'; it has y, z"):
        columns_from_frame(one("number"), pd.DataFrame({"y": [1], "z": [2]}))


def test_a_contract_tells_kind_range_levels_and_missing_values() -> None:
    """Levels come most frequent first; ranges leave missing values out."""
    frame = pd.DataFrame(
        {
            "hours": [1, 2, 3],
            "delay": [0.5, None, -1.5],
            "gate": pd.Series([7, None, 9], dtype="Int64"),
            "late": [True, False, True],
            "paid": pd.Series([True, None, False], dtype=object),
            "carrier": ["UA", "AA", "AA"],
            "origin": pd.Series(["JFK", None, "JFK"], dtype="category"),
            "asked": pd.Series(pd.to_datetime(["2013-08-01T10", None, "2013-02-01T11"])).dt.tz_localize(BERLIN),
            "born": [date(1980, 2, 29), date(1990, 1, 1), date(1979, 12, 31)],
        }
    )
    assert regression(frame).features == (
        Feature(name="hours", kind="integer", nullable=False, low=1.0, high=3.0),
        Feature(name="delay", kind="number", nullable=True, low=-1.5, high=0.5),
        Feature(name="gate", kind="integer", nullable=True, low=7.0, high=9.0),
        Feature(name="late", kind="boolean", nullable=False, low=0.0, high=1.0),
        Feature(name="paid", kind="boolean", nullable=True, low=0.0, high=1.0),
        Feature(name="carrier", kind="category", nullable=False, levels=("AA", "UA")),
        Feature(name="origin", kind="category", nullable=True, levels=("JFK",)),
        Feature(
            name="asked",
            kind="timestamp",
            nullable=True,
            timezone="Europe/Berlin",
            earliest="2013-02-01T10:00:00.000000Z",
            latest="2013-08-01T08:00:00.000000Z",
        ),
        Feature(
            name="born",
            kind="timestamp",
            nullable=False,
            earliest="1979-12-31T00:00:00.000000",
            latest="1990-01-01T00:00:00.000000",
        ),
    )


def test_the_example_is_a_row_of_the_data_that_the_contract_allows() -> None:
    """The first of those with the fewest missing values, as JSON holds it."""
    frame = pd.DataFrame({"n": [None, 2.0, 3.0], "i": [1, 2, 3], "b": [True, False, True], "c": ["x", "y", None]})
    contract = regression(frame)
    assert contract.example == {"n": 2.0, "i": 2, "b": False, "c": "y"}
    assert [type(value) for value in contract.example.values()] == [float, int, bool, str]
    assert columns_from_records(contract, [contract.example])["c"].tolist() == ["y"]


def test_the_example_may_miss_what_training_missed() -> None:
    """Where every row misses something; "NaT" and the like are texts as any other."""
    frame = pd.DataFrame({"g": pd.Series([None, 2], dtype="Int64"), "c": ["NaT", None]})
    contract = regression(frame)
    assert contract.example == {"g": None, "c": "NaT"}
    assert columns_from_records(contract, [contract.example])["c"].tolist() == ["NaT"]


def test_an_empty_text_counts_as_missing() -> None:
    """In columns the two are the same thing."""
    (feature,) = regression(pd.DataFrame({"c": ["a", "", "a"]})).features
    assert feature == Feature(name="c", kind="category", nullable=True, levels=("a",))


def test_at_most_a_thousand_levels_are_remembered() -> None:
    """The most frequent ones."""
    values = [f"v{index}" for index in range(1_500)] + ["often"] * 2
    (feature,) = regression(pd.DataFrame({"c": values})).features
    assert (len(feature.levels), feature.levels[0]) == (1_000, "often")


@pytest.mark.parametrize(
    ("series", "text"),
    [
        (pd.to_datetime(pd.Series(["2013-01-01"])).astype("category"), "give the model numbers made of it"),
        (pd.to_timedelta(pd.Series(["1h"])), "give the model numbers made of it"),
        (pd.Series([[1], [2]]), "values of type list"),
        (pd.Series([date(2013, 1, 1), datetime(2013, 1, 1)]), "values of type date, datetime"),
        (pd.Series([datetime(2013, 1, 1), datetime(2013, 1, 1, tzinfo=UTC)], dtype=object), "with and without one"),
        (pd.Series([datetime(2013, 1, 1, tzinfo=BERLIN), datetime(2013, 1, 1, tzinfo=UTC)]), "of several zones"),
        (pd.Series([datetime(2013, 1, 1, tzinfo=NAMELESS)], dtype=object), "of a zone without a name"),
        (pd.Series(np.array(["12013-01-01"], "datetime64[s]")), "beyond the years 1 to 9999"),
        (pd.Series(["a", 1], dtype=object), "values of type int, str"),
        (pd.Series([None, None], dtype=object), "no value at all"),
        (pd.Series([1.0, np.inf]), "infinite values"),
    ],
)
def test_a_column_no_contract_can_hold_is_refused_with_its_mend(series: Any, text: str) -> None:
    """The column is named."""
    with pytest.raises(Mistake, match=f"column 'x'.*{text}"):
        regression(pd.DataFrame({"x": series}))


@pytest.mark.parametrize(
    ("task", "classes", "positive", "text"),
    [
        ("binary", ("a", "b", "c"), "a", "two classes with `positive` among them"),
        ("binary", ("a", "b"), "c", "two classes with `positive` among them"),
        ("binary", ("a", "b"), None, "two classes with `positive` among them"),
        ("multiclass", ("a",), None, "two classes or more"),
        ("regression", ("a", "b"), None, "a regression has no classes"),
    ],
)
def test_classes_must_suit_the_task(task: Any, classes: tuple[str, ...], positive: str | None, text: str) -> None:
    """A wrong `positive` would turn every probability round."""
    with pytest.raises(Mistake, match=text):
        infer_contract(
            pd.DataFrame({"x": [1]}), model="m", task=task, features=["x"], classes=classes, positive=positive
        )


@pytest.mark.parametrize(
    ("features", "text"),
    [
        (["x", "z"], "features z are not in the table; it has x, y"),
        (["x", "x"], "x are named twice"),
        (["x", 0], r"features \[0\] are no text"),
    ],
)
def test_features_must_be_in_the_table_once(features: list[str], text: str) -> None:
    """A feature that is not there is named."""
    with pytest.raises(Mistake, match=text):
        infer_contract(
            pd.DataFrame({"x": [1], "y": [1]}),
            model="m",
            task="regression",
            features=features,
            classes=(),
            positive=None,
        )


def test_an_empty_table_tells_nothing() -> None:
    """No contract without rows."""
    with pytest.raises(Mistake, match="no rows to infer"):
        regression(pd.DataFrame({"x": pd.Series([], dtype=float)}))

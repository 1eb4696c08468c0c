"""Times as clients write them: one instant is one text, and whatever is no clear instant is refused."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.engine.arrays import columns_from_arrays
from flyball.engine.check import Violation, columns_from_records, columns_from_split
from flyball.engine.contract import Contract, Feature
from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import infer_contract
from flyball.engine.rebuild import Column, describe, rebuilt
from flyball.engine.rows import few_rows
from flyball.engine.session import as_table
from flyball.engine.timestamps import PLAIN, ZONED, Spelling

ASKED = Feature(name="asked", kind="timestamp", nullable=True, timezone="Europe/Berlin")
BORN = Feature(name="born", kind="timestamp", nullable=False)
PLAN = Feature(name="plan", kind="category", nullable=False)
AGE = Feature(name="age", kind="number", nullable=True)
ROW = {"asked": "2013-08-01T14:00:00+02:00", "born": "1980-02-29", "plan": "gold", "age": 33}


def contract(*features: Feature) -> Contract:
    return Contract(model="m", task="regression", features=features, classes=(), positive=None, example={})


MIXED = contract(PLAN, ASKED, AGE, BORN)


def message(feature: Feature, value: Any) -> str:
    """What a value is refused with."""
    with pytest.raises(Violation) as caught:
        columns_from_records(contract(feature), [{feature.name: value}])
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (0, feature.name)
    return problem.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-08-01T12:00:00Z", "2013-08-01T12:00:00.000000Z"),
        ("2013-08-01T12:00Z", "2013-08-01T12:00:00.000000Z"),
        ("2013-08-01t12:00:00.5z", "2013-08-01T12:00:00.500000Z"),
        ("2013-08-01 12:00:00.000001+00:00", "2013-08-01T12:00:00.000001Z"),
        ("2013-08-01T12:00:00.123456789Z", "2013-08-01T12:00:00.123456Z"),
        ("2013-08-01T12:00:00-00:00", "2013-08-01T12:00:00.000000Z"),
        ("2013-08-01T01:00:00+05:45", "2013-07-31T19:15:00.000000Z"),
        ("2013-08-01T01:00:00-0330", "2013-08-01T04:30:00.000000Z"),
        ("2013-08-01T01:00:00+02", "2013-07-31T23:00:00.000000Z"),
        ("1890-01-01T00:00:00+00:53:28", "1889-12-31T23:06:32.000000Z"),
        ("", ""),
        ("NaT", ""),
    ],
)
def test_an_instant_has_one_spelling(text: str, expected: str) -> None:
    """RFC 3339, and what Python, pandas and JavaScript write; digits beyond microseconds are cut off."""
    assert Spelling(zoned=True, wide=False).canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-08-01", "2013-08-01T00:00:00.000000"),
        ("2013-08-01T12:00", "2013-08-01T12:00:00.000000"),
        ("2013-08-01 12:00:00.25", "2013-08-01T12:00:00.250000"),
    ],
)
def test_a_wall_clocks_time_has_one_spelling(text: str, expected: str) -> None:
    """A date alone is its midnight."""
    assert Spelling(zoned=False, wide=False).canonical(text) == expected


@pytest.mark.parametrize("text", ["2013-08-01", "2013-08-01T12:00:00", "2013-08-01 12:00"])
def test_a_time_without_a_zone_is_refused_where_training_had_one(text: str) -> None:
    """It could be any of forty instants."""
    needs = 'needs a date-time with "Z" or an offset, for example "2013-08-01T12:00:00Z"'
    assert message(ASKED, text) == f"got a date-time without a zone, {needs}"


@pytest.mark.parametrize("text", ["2013-08-01T12:00:00Z", "2013-08-01T12:00:00+02:00"])
def test_a_time_with_a_zone_is_refused_where_training_had_none(text: str) -> None:
    """Nobody knows whose wall clock training's times were read from."""
    needs = 'needs a date-time without a zone, as in training, for example "2013-08-01T12:00:00"'
    assert message(BORN, text) == f"got a date-time with a zone, {needs}"


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "NaN", "nat", " ", "12:00:00Z", "20130801T120000Z", "2013-W31-4", "2013-213", "2013-8-1T12:00Z"),
        *(
            "2013-08-01T12Z",
            "2013-08-01T24:00:00Z",
            "2013-08-01T12:00:00,5Z",
            "2013-08-01T12:00:00.Z",
            "2013-08-01T12:00:00.0123456789Z",
        ),
        *("2013-08-01T12:00:00 Z", " 2013-08-01T12:00:00Z", "2013-08-01T12:00:00Z\n", "2013-08-01_12:00:00Z"),
        *("2013-08-01T12:00:00 UTC", "2013-08-01T12:00:00+05:75", "-2013-08-01T12:00:00Z", "12013-08-01T12:00:00Z"),
        *("٢٠١٣-08-01T12:00:00Z", "2013-08-01T12:00:00Zß", "08/01/2013", "1375358400", "2013-08-01T12:00:00[UTC]"),
    ],
)
def test_text_that_is_no_date_time_is_refused(text: str) -> None:
    """Without being repeated."""
    needs = 'needs a date-time with "Z" or an offset, for example "2013-08-01T12:00:00Z"'
    assert message(ASKED, text) == f"got text that is no date-time, {needs}"


@pytest.mark.parametrize(
    "text",
    [
        *("2013-02-30T12:00:00Z", "2013-13-01T12:00:00Z", "2013-08-01T12:60:00Z"),
        *("2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2013-08-01T12:00:00+24:00", "0001-01-01T00:00:00+01:00"),
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    """Leap seconds too: no model could be handed one."""
    assert message(ASKED, text).startswith("got a date-time that no calendar or clock here has, needs")


@pytest.mark.parametrize("value", [1375358400, 1375358400.5, True, [], {}])
def test_numbers_are_refused_with_what_to_send(value: Any) -> None:
    """Seconds, milliseconds or nanoseconds: a number does not say."""
    kind = {int: "integer", float: "number", bool: "boolean", list: "list", dict: "object"}[type(value)]
    needs = 'needs text: a date-time with "Z" or an offset, for example "2013-08-01T12:00:00Z"'
    assert message(ASKED, value) == f"got {kind}, {needs}"


@pytest.mark.parametrize(("value", "got"), [(None, "null"), ("", "an empty text"), ("NaT", "NaT")])
def test_a_missing_time_is_refused_where_training_saw_none(value: Any, got: str) -> None:
    """And is an empty text where training saw some."""
    assert message(BORN, value) == f"got {got}, needs a date-time as text: no value was missing in training"
    assert columns_from_records(contract(ASKED), [{"asked": value}])["asked"].tolist() == [""]


@pytest.mark.parametrize(
    "text", ["1677-09-21T00:12:43Z", "2262-04-11T23:47:17Z", "0999-01-01T00:00Z", "9999-12-31T00:00Z"]
)
def test_years_that_nanoseconds_cannot_hold_are_refused_unless_training_had_such(text: str) -> None:
    """What a column of datetime64[ns] cannot hold would end in an error of the model."""
    assert message(ASKED, text) == f"got a date-time out of range, needs one from {' to '.join(ZONED)}"
    wide = Feature(**{**fields(ASKED), "latest": "9999-12-31T00:00:00.000000Z"})
    assert columns_from_records(contract(wide), [{"asked": text}])["asked"][0].startswith(text[:16])


@pytest.mark.parametrize(
    ("end", "zone"),
    [
        *((end, None) for end in PLAIN),
        *((f"{end}Z", zone) for end in ZONED for zone in ("UTC", "America/New_York", "Pacific/Kiritimati")),
    ],
)
def test_the_range_is_what_nanoseconds_hold(end: str, zone: str | None) -> None:
    """To the microsecond, or to the day where local time may lie beyond it."""
    times = pd.Series(pd.to_datetime(["2013-08-01"]).astype("datetime64[ns]")).dt.tz_localize(zone)
    frame = pd.DataFrame({"t": times})
    of = infer_contract(frame, model="m", task="regression", features=["t"], classes=(), positive=None)
    table = as_table(of.layout, columns_from_records(of, [{"t": end}]))
    got = rebuilt(of, describe(of, frame), table)["t"]
    assert got[0] == pd.Timestamp(end)
    assert got.dt.hour[0] == got[0].hour


def fields(feature: Feature) -> dict[str, Any]:
    return {name: getattr(feature, name) for name in Feature.__dataclass_fields__}


def test_all_ways_in_give_the_same_columns() -> None:
    """Records, lists, and arrays; the order of text and times among themselves is kept."""
    names = list(ROW)
    arrays = {name: np.array([ROW[name]], dtype=object if isinstance(ROW[name], str) else float) for name in names}
    found = [
        columns_from_records(MIXED, [ROW]),
        columns_from_split(MIXED, names, [list(ROW.values())]),
        columns_from_arrays(MIXED, arrays),
        columns_from_records(MIXED, [type("Row", (dict,), {})(ROW)]),  # what only the careful way takes
    ]
    expected = {
        "plan": ["gold"],
        "asked": ["2013-08-01T12:00:00.000000Z"],
        "age": [33.0],
        "born": ["1980-02-29T00:00:00.000000"],
    }
    assert [{name: column.tolist() for name, column in columns.items()} for columns in found] == [expected] * 4


def test_a_bad_time_among_arrays_is_named_by_row_and_column() -> None:
    """As in JSON."""
    times = np.array(["2013-08-01T12:00:00Z", "then"], dtype=object)
    with pytest.raises(Violation, match="row 1, column 'asked': got text that is no date-time"):
        columns_from_arrays(contract(ASKED), {"asked": times})
    with pytest.raises(Violation, match="row 0, column 'asked': got integer, needs text"):
        columns_from_arrays(contract(ASKED), {"asked": np.array([1375358400])})


def test_a_contract_with_times_comes_back_from_json() -> None:
    """And one that was written before there were times is read."""
    of = contract(Feature(**{**fields(ASKED), "earliest": "2013-01-01T00:00:00.000000Z"}), PLAN)
    assert Contract.from_json(orjson.loads(orjson.dumps(of.to_json()))) == of
    old = orjson.loads(orjson.dumps(contract(PLAN, AGE).to_json()))
    for feature in old["features"]:
        del feature["timezone"], feature["earliest"], feature["latest"]
    assert Contract.from_json(old) == contract(PLAN, AGE)


_ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
)
_TIMES = st.datetimes(datetime(1678, 1, 2), datetime(2261, 12, 30), timezones=_ZONES.map(ZoneInfo))


def _spellings(at: datetime) -> list[str]:
    """As clients of several languages would write it."""
    offset = at.strftime("%z")
    utc = at.astimezone(UTC)
    whole = at.replace(tzinfo=None).isoformat(timespec="microseconds")
    return [
        at.isoformat(),
        at.isoformat(" "),
        str(pd.Timestamp(at)),
        pd.Timestamp(at).isoformat(),
        f"{whole}{offset}",
        f"{whole}000{at.isoformat()[len(at.replace(tzinfo=None).isoformat()) :]}",
        utc.isoformat().replace("+00:00", "Z"),
        utc.isoformat().replace("+00:00", "z").replace("T", "t"),
        utc.astimezone(ZoneInfo("Asia/Tokyo")).isoformat(),
        (utc + timedelta(hours=14)).replace(tzinfo=None).isoformat() + "+14:00",
    ]


@functools.cache
def _trained(dtype: str) -> tuple[Contract, tuple[Column, ...]]:
    """On one time, of a column of this type: the contract, and how the column is held."""
    times = pd.Series(pd.to_datetime(["2013-08-01"], utc="," in dtype)).astype(dtype)
    frame = pd.DataFrame({"t": times})
    of = infer_contract(frame, model="m", task="regression", features=["t"], classes=(), positive=None)
    return of, describe(of, frame)


@given(at=_TIMES, zone=_ZONES, unit=st.sampled_from(["us", "ns"]), which=st.integers(0, 9))
def test_whichever_way_an_instant_is_written_the_model_meets_it_as_pandas_reads_it(
    at: datetime, zone: str, unit: str, which: int
) -> None:
    """In the zone of training, whatever the zone it was sent in."""
    of, held = _trained(f"datetime64[{unit}, {zone}]")
    expected: Any = pd.to_datetime(pd.Series([at]), utc=True).astype(f"datetime64[{unit}, {zone}]")
    table = as_table(of.layout, columns_from_records(of, [{"t": _spellings(at)[which]}]))
    got = rebuilt(of, held, table)["t"]
    pd.testing.assert_series_equal(got, expected, check_names=False)
    from_frame = columns_from_frame(of, pd.DataFrame({"t": expected}))
    assert from_frame["t"].tolist() == table["t"].tolist()


@given(at=st.datetimes(datetime(1678, 1, 2), datetime(2261, 12, 30)), dot=st.sampled_from(["T", " ", "t"]))
def test_a_wall_clocks_time_reaches_the_model_as_it_is(at: datetime, dot: str) -> None:
    """Without a zone on either side."""
    of, held = _trained("datetime64[us]")
    table = as_table(of.layout, columns_from_records(of, [{"t": at.isoformat(dot)}]))
    assert rebuilt(of, held, table)["t"][0] == pd.to_datetime(at)


@given(
    text=st.text(max_size=40)
    | st.from_regex(re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.Zz+-]{0,20}"), fullmatch=True)
)
def test_whatever_text_comes_it_is_an_instant_or_a_refusal(text: str) -> None:
    """No other exception; an instant keeps its spelling when it is sent again."""
    for spelling in (Spelling(zoned=zoned, wide=wide) for zoned in (True, False) for wide in (True, False)):
        try:
            once = spelling.canonical(text)
        except ValueError:
            continue
        assert spelling.canonical(once) == once
        assert len(once) in (0, 27 if spelling.zoned else 26)


def test_few_rows_leave_times_to_the_careful_way() -> None:
    """Text goes to a graph as it came there."""
    engine = type("Engine", (), {"contract": MIXED})()
    assert few_rows(engine) is None

"""Lines to tables: one per model and event date, each identity once, every column of one type."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from flyball.journal.layout import NO_FEATURES, OUTCOMES, PREDICTIONS
from flyball.journal.parse import OutcomeLine, OutcomeRow, PredictionLine
from flyball.journal.rows import as_text, tables

AT = datetime(2013, 3, 1, 23, 59, 59, tzinfo=UTC)
NEXT = datetime(2013, 3, 2, tzinfo=UTC)

LINE = PredictionLine(
    model="m",
    version=1,
    variant="v1",
    role="live",
    source="http",
    generation=1,
    request_id="r",
    ids=["a"],
    timestamp=[AT],
    received_at=AT,
    latency_ms=0.5,
    key=[None],
    features={"x": [1.0]},
    prediction=[0.5],
    score=[0.5],
)
FIRST = ("predictions", "m", "2013-03-01")


def test_a_request_over_midnight_is_split_by_date() -> None:
    """A row lies in the date of its own time."""
    line = replace(
        LINE,
        ids=["a", "b", "c"],
        timestamp=[AT, NEXT, AT],
        key=["k", "l", "m"],
        features={"x": [1.0, 2.0, 3.0]},
        prediction=[0.1, 0.2, 0.3],
        score=[0.1, 0.2, 0.3],
    )
    made = tables([line])
    assert {place: table["key"].to_pylist() for place, table in made.items()} == {
        FIRST: ["k", "m"],
        ("predictions", "m", "2013-03-02"): ["l"],
    }
    assert made[FIRST]["features"].to_pylist() == [{"x": 1.0}, {"x": 3.0}]


def test_of_one_id_the_last_is_kept() -> None:
    """A retry replaces what it retries."""
    table = tables([LINE, replace(LINE, prediction=[0.75])])[FIRST]
    assert table["prediction"].to_pylist() == [0.75]


def test_a_shadow_keeps_its_place_beside_the_live_answer() -> None:
    """One id, one live row, one row per shadow version."""
    shadows = [replace(LINE, role="shadow", version=number) for number in (2, 3, 3)]
    table = tables([LINE, *shadows])[FIRST]
    assert table.select(["role", "version"]).to_pylist() == [
        {"role": "live", "version": 1},
        {"role": "shadow", "version": 2},
        {"role": "shadow", "version": 3},
    ]


def test_a_live_retry_after_a_promotion_is_the_same_prediction() -> None:
    """Who asked again got a newer version's answer; there is still one."""
    table = tables([LINE, replace(LINE, version=2)])[FIRST]
    assert table["version"].to_pylist() == [2]


def test_features_of_other_versions_are_null() -> None:
    """Rows without a feature have null there, before and after it appears."""
    table = tables([LINE, replace(LINE, ids=["b"], features={"y": ["u"]}), replace(LINE, ids=["c"])])[FIRST]
    assert table["features"].to_pylist() == [
        {"x": 1.0, "y": None},
        {"x": None, "y": "u"},
        {"x": 1.0, "y": None},
    ]


def test_a_feature_of_two_kinds_is_text() -> None:
    """Number here, text there: both are readable as text."""
    table = tables([LINE, replace(LINE, ids=["b"], features={"x": ["one"]})])[FIRST]
    assert table["features"].to_pylist() == [{"x": "1"}, {"x": "one"}]


def test_a_bool_feature_stays_bool_until_it_meets_a_number() -> None:
    """The narrowest type that holds all values."""
    bools = replace(LINE, ids=["b"], features={"x": [True]})
    assert tables([bools])[FIRST].schema.field("features").type == pa.struct([("x", pa.bool_())])
    assert tables([bools, LINE])[FIRST]["features"].to_pylist() == [{"x": 1.0}, {"x": 1.0}]


def test_rows_without_features_have_the_empty_struct() -> None:
    """Every column dropped by policy is still a table Parquet can hold."""
    assert tables([replace(LINE, features={})])[FIRST].schema.field("features").type == NO_FEATURES


def test_tables_have_the_lakes_columns() -> None:
    """In their order, with the protocol in the metadata."""
    outcome = OutcomeRow(outcome_id="1", id="a", key=None, name="label", value=True, timestamp=None)
    made = tables([LINE, OutcomeLine(model="m", received_at=NEXT, outcomes=[outcome])])
    assert made[FIRST].schema.names == PREDICTIONS.names
    assert made["outcomes", "m", "2013-03-02"].schema.names == OUTCOMES.names
    assert {table.schema.metadata[b"flyball.lake"] for table in made.values()} == {b"1"}


def test_an_outcome_is_text_and_where_it_can_be_a_number() -> None:
    """Bool and number have both; text has no number; null withdraws."""
    values = [True, 2.5, 3.0, "late", None]
    rows = [
        OutcomeRow(outcome_id=str(i), id="a", key=None, name="label", value=value, timestamp=AT)
        for i, value in enumerate(values)
    ]
    (table,) = tables([OutcomeLine(model="m", received_at=NEXT, outcomes=rows)]).values()
    assert table["value"].to_pylist() == ["true", "2.5", "3", "late", None]
    assert table["number"].to_pylist() == [1.0, 2.5, 3.0, None, None]


def test_numbers_as_text_are_as_one_would_write_them() -> None:
    """Whole numbers without a point; infinity by name."""
    assert [as_text(value) for value in (1.0, -0.5, 1e20, float("inf"), False)] == [
        "1",
        "-0.5",
        "100000000000000000000",
        "inf",
        "false",
    ]

"""The stored line: what goes in comes out, and what is not a whole line is None."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.journal.line import (
    about,
    about_one,
    apply_policy,
    encode_answer,
    encode_one,
    encode_outcomes,
    encode_predictions,
    encode_values,
    hashed,
    opening_at,
    opening_of,
)
from flyball.journal.parse import OutcomeLine, PredictionLine, parse_line

AT = "2013-03-01T05:00:00.000000Z"
MOMENT = datetime(2013, 3, 1, 5, tzinfo=UTC)


def encoded(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "model": "flights",
        "version": 3,
        "variant": "v3",
        "role": "live",
        "source": "http",
        "generation": 7,
        "request_id": "r",
        "ids": ["a", "b"],
        "timestamp": AT,
        "received_at": AT,
        "latency_ms": 0.25,
        "key": ["UA1", None],
        "features": {"distance": np.array([0.1, np.nan], np.float32), "origin": np.array(["EWR", ""], object)},
        "prediction": np.array([0.5, 0.25]),
        "score": np.array([0.5, 0.25]),
    }
    return encode_predictions(**(values | changes))


def parsed(**changes: Any) -> PredictionLine | OutcomeLine | None:
    return parse_line(encoded(**changes))


def altered(**changes: Any) -> PredictionLine | OutcomeLine | None:
    return parse_line(orjson.dumps(orjson.loads(encoded()) | changes))


def test_a_line_reads_back_as_it_was_written() -> None:
    """Every field survives; NaN is missing; float32 0.1 is 0.1, not 0.10000000149."""
    assert parsed() == PredictionLine(
        model="flights",
        version=3,
        variant="v3",
        role="live",
        source="http",
        generation=7,
        request_id="r",
        ids=["a", "b"],
        timestamp=[MOMENT, MOMENT],
        received_at=MOMENT,
        latency_ms=0.25,
        key=["UA1", None],
        features={"distance": [0.1, None], "origin": ["EWR", ""]},
        prediction=[0.5, 0.25],
        score=[0.5, 0.25],
    )


def test_a_line_is_one_line() -> None:
    """The only newline is the last byte, whatever the values hold."""
    line = encoded(key=["a\nb", "c"])
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")


def test_strided_arrays_are_written_like_any_other() -> None:
    """A column of a C-ordered matrix is a column."""
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    line = parsed(features={"x": matrix[:, 1]})
    assert isinstance(line, PredictionLine)
    assert line.features == {"x": [2.0, 4.0]}


def test_classes_are_text() -> None:
    """A multiclass model's answers are its labels."""
    line = parsed(prediction=np.array(["late", "early"], object))
    assert isinstance(line, PredictionLine)
    assert line.prediction == ["late", "early"]


def test_outcomes_read_back_as_they_were_written() -> None:
    """An outcome has an id or a key, a value of any scalar kind, a time or none."""
    line = encode_outcomes(
        model="flights",
        received_at=AT,
        outcomes=[
            {"outcome_id": "1", "id": "a", "name": "label", "value": True, "timestamp": AT},
            {"outcome_id": "2", "key": "UA1", "name": "minutes", "value": 12},
            {"outcome_id": "3", "id": "a", "name": "label", "value": None},
        ],
    )
    found = parse_line(line)
    assert isinstance(found, OutcomeLine)
    assert [(row.id, row.key, row.name, row.value, row.timestamp) for row in found.outcomes] == [
        ("a", None, "label", True, MOMENT),
        (None, "UA1", "minutes", 12.0, None),
        ("a", None, "label", None, None),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"kind": "errors"},
        {"kind": []},
        {"model": "../../etc"},
        {"model": ""},
        {"version": 2**63},
        {"version": True},
        {"role": "dead"},
        {"ids": ["a"]},
        {"ids": [1, 2]},
        {"timestamp": "2013-02-30T00:00Z"},
        {"timestamp": "0001-01-01T00:00+10:00"},
        {"timestamp": [AT]},
        {"received_at": "2013-03-01T05:00"},
        {"features": []},
        {"features": {"x": [1]}},
        {"features": {"x": [[1], [2]]}},
        {"score": ["a", "b"]},
        {"latency_ms": "fast"},
        {"key": "UA1"},
    ],
)
def test_a_line_that_breaks_the_format_is_none(changes: dict[str, Any]) -> None:
    """Nothing that could misplace a file or spoil a table gets past the parser."""
    assert altered(**changes) is None


def test_an_outcome_without_owner_is_none() -> None:
    """Neither id nor key: nobody could ever join it."""
    assert (
        parse_line(
            encode_outcomes(model="m", received_at=AT, outcomes=[{"outcome_id": "1", "name": "label", "value": 1}])
        )
        is None
    )


@given(st.binary())
def test_garbage_never_raises(line: bytes) -> None:
    """Any bytes are a line or None."""
    assert parse_line(line) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(AT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(orjson.loads(encoded()))), _json)
def test_no_field_can_make_the_parser_raise(name: str, value: Any) -> None:
    """A well-formed line with one field replaced by any JSON is a line or None."""
    try:
        line = orjson.dumps(orjson.loads(encoded()) | {name: value})
    except TypeError:
        return  # no JSON: an integer of more than 64 bits, a lone surrogate
    found = parse_line(line)
    assert found is None or isinstance(found, PredictionLine)


@given(st.integers(0, len(encoded()) - 3))
def test_a_torn_line_is_none(length: int) -> None:
    """No beginning of a line passes for the whole."""
    assert parse_line(encoded()[:length]) is None


def test_dropped_columns_are_gone_and_hashed_ones_unreadable() -> None:
    """The policy is applied by name; what it does not name is kept as it is."""
    distance = np.array([1.0, np.nan], np.float32)
    kept = apply_policy(
        {"distance": distance, "name": np.array(["Ada", ""], object), "ssn": np.array(["1", "2"], object)},
        {"name": "hash", "ssn": "drop"},
        b"salt",
    )
    assert kept["distance"] is distance
    assert list(kept) == ["distance", "name"]
    assert kept["name"] == [hashed("Ada", b"salt"), None]


def test_a_hash_depends_on_the_salt_alone() -> None:
    """Equal values hash equal under one salt and differ under another; missing stays missing."""
    assert hashed("Ada", b"salt") == hashed("Ada", b"salt")
    assert hashed("Ada", b"salt") != hashed("Ada", b"pepper")
    assert [hashed(value, b"salt") for value in (None, "", float("nan"))] == [None, None, None]


VERSION: dict[str, Any] = {
    "model": "flights",
    "version": 3,
    "variant": "v3",
    "role": "live",
    "source": "http",
    "generation": 7,
}


@pytest.mark.parametrize("key", [None, ["UA1"]])
def test_a_line_of_one_row_reads_like_any_other(key: list[str] | None) -> None:
    """Its row stands as it was asked; the rest is what it would be."""
    fixed: dict[str, Any] = {"request_id": "r", "timestamp": AT, "key": key}
    one = encode_one(
        opening_at(opening_of(**VERSION), 0.25),
        about_one(id="a", received_at=AT, **fixed),
        inputs=orjson.dumps([{"distance": 0.5, "stops": 2, "wind": None, "origin": 'E"W\nR'}]),
        score=b"0.25",
    )
    columns = {"distance": [0.5], "stops": [2], "wind": [None], "origin": ['E"W\nR']}
    scores = {"prediction": [0.25], "score": [0.25]}
    assert one.count(b"\n") == 1
    assert parse_line(one) == parsed(ids=["a"], features=columns, **fixed, **scores)


@pytest.mark.parametrize(
    ("prediction", "score"),
    [([0.25, 0.5], [0.25, 0.5]), (["a", 'b"'], [0.75, 0.5]), ([0.25, float("nan")], [float("inf"), 0.5])],
)
def test_a_line_without_features_reads_like_any_other(prediction: list[Any], score: list[float]) -> None:
    """Of any number of rows: what the requests have in common, and what this version answered."""
    fixed: dict[str, Any] = {"request_id": "r", "ids": ["a", "b"], "timestamp": [AT, AT], "key": ["k", None]}
    answers = [np.array(values, dtype=type(values[0])) for values in (prediction, score)]
    line = encode_answer(
        opening_at(opening_of(**VERSION), 0.25),
        about(received_at=AT, **fixed),
        prediction=encode_values(answers[0].astype(object) if type(prediction[0]) is str else answers[0]),
        score=encode_values(answers[1]),
    )
    whole = encode_predictions(
        **VERSION, **fixed, received_at=AT, latency_ms=0.25, features={}, prediction=prediction, score=score
    )
    assert line.count(b"\n") == 1
    assert orjson.loads(line) == orjson.loads(whole)


ROWS: Any = [{"distance": 1, "origin": "EWR"}, {"distance": 2.5, "origin": "JFK"}]
SPLIT = {"columns": ["origin", "distance"], "data": [["EWR", 1], ["JFK", 2.5]]}


@pytest.mark.parametrize("inputs", [ROWS, SPLIT])
def test_rows_kept_as_they_were_asked_are_read_as_columns(inputs: Any) -> None:
    """Objects or columns and data: the same features."""
    found = parsed(features={}, inputs=orjson.dumps(inputs))
    assert isinstance(found, PredictionLine)
    assert found.features == {"distance": [1.0, 2.5], "origin": ["EWR", "JFK"]}


@pytest.mark.parametrize(
    "inputs", [[], [{"a": 1}], [{"a": 1}, {}], [1, 2], {"columns": ["a"], "data": [[1, 2], [3, 4]]}, 7]
)
def test_rows_that_are_not_those_of_the_answer_make_no_line(inputs: Any) -> None:
    """Too few, not alike, or no rows at all."""
    assert parsed(features={}, inputs=orjson.dumps(inputs)) is None

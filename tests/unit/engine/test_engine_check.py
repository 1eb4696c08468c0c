"""Rows become columns, or a violation that names what is wrong."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.engine.check import Violation, columns_from_records, columns_from_split
from flyball.engine.contract import Contract, Feature

AGE = Feature(name="age", kind="number", nullable=False, low=18, high=90)
VISITS = Feature(name="visits", kind="integer", nullable=True, low=0, high=40)
MEMBER = Feature(name="member", kind="boolean", nullable=False)
PLAN = Feature(name="plan", kind="category", nullable=True, levels=("basic", "gold"))
ROW = {"age": 30.5, "visits": 4, "member": True, "plan": "gold"}


def contract(*features: Feature) -> Contract:
    return Contract(model="churn", task="regression", features=features, classes=(), positive=None, example={})


MIXED = contract(AGE, PLAN, VISITS, MEMBER)


def problems(rows: Any, of: Contract = MIXED) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(Violation) as caught:
        columns_from_records(of, rows)
    return [(problem.row, problem.column, problem.message) for problem in caught.value.problems]


def test_a_row_becomes_one_value_in_each_column() -> None:
    """Numbers, integers and booleans are float32, categories text."""
    columns = columns_from_records(MIXED, [ROW, {**ROW, "age": 41, "member": False, "plan": "basic"}])
    assert {name: values.tolist() for name, values in columns.items()} == {
        "age": [30.5, 41.0],
        "plan": ["gold", "basic"],
        "visits": [4.0, 4.0],
        "member": [1.0, 0.0],
    }
    assert [columns[name].dtype for name in ("age", "visits", "member", "plan")] == ["f4", "f4", "f4", "O"]


def test_the_order_of_keys_does_not_matter() -> None:
    """A record names its values."""
    columns = columns_from_records(MIXED, [dict(reversed(ROW.items()))])
    assert [columns[name][0] for name in ROW] == [30.5, 4.0, 1.0, "gold"]


def test_null_is_missing_where_training_saw_missing_values() -> None:
    """Missing is NaN among numbers and an empty text among categories."""
    columns = columns_from_records(MIXED, [{**ROW, "visits": None, "plan": None}, {**ROW, "plan": ""}])
    assert math.isnan(columns["visits"][0])
    assert columns["plan"].tolist() == ["", ""]


def test_null_is_a_violation_where_training_saw_none() -> None:
    """The feature is named, and what it needs."""
    assert problems([ROW, {**ROW, "age": None}]) == [
        (1, "age", "got null, needs a number: no value was missing in training")
    ]


def test_values_never_seen_in_training_are_answered() -> None:
    """An unseen category and a number out of range are the monitor's business, not a refusal."""
    columns = columns_from_records(MIXED, [{**ROW, "plan": "platinum", "age": 200}])
    assert (columns["plan"][0], columns["age"][0]) == ("platinum", 200.0)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", "30", "got text, needs a number"),
        ("age", "", "got text, needs a number"),
        ("age", True, "got boolean, needs a number"),
        ("age", math.nan, "got NaN, needs a number: no value was missing in training"),
        ("age", math.inf, "got a number beyond 3.4e+38, needs one that fits 32 bits"),
        ("age", 1e39, "got a number beyond 3.4e+38, needs one that fits 32 bits"),
        ("age", 10**400, "got a number beyond 3.4e+38, needs one that fits 32 bits"),
        ("age", [30], "got list, needs a number"),
        ("age", {"years": 30}, "got object, needs a number"),
        ("visits", 4.5, "got a number with a fraction, needs an integer"),
        ("visits", -math.inf, "got a number beyond 3.4e+38, needs one that fits 32 bits"),
        ("visits", False, "got boolean, needs an integer"),
        ("member", 2, "got integer, needs true or false"),
        ("member", 1e30, "got number, needs true or false"),
        ("member", 0.5, "got number, needs true or false"),
        ("member", "true", "got text, needs true or false"),
        ("plan", 7, "got integer, needs text (give it as text)"),
        ("plan", False, "got boolean, needs text"),
        ("plan", ["gold"], "got list, needs text"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_and_never_shown(column: str, value: object, message: str) -> None:
    """Types are strict; the message says what was got and what is needed."""
    assert problems([ROW, {**ROW, column: value}]) == [(1, column, message)]


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, True, False])
def test_a_boolean_may_be_zero_or_one(value: object) -> None:
    """Many clients have no booleans."""
    assert columns_from_records(MIXED, [{**ROW, "member": value}])["member"][0] == float(value)  # type: ignore[arg-type]


def test_an_integral_float_is_an_integer() -> None:
    """JSON written by JavaScript or pandas does not tell 4 from 4.0."""
    assert columns_from_records(MIXED, [{**ROW, "visits": 4.0}])["visits"][0] == 4.0


def test_a_missing_column_is_named_with_its_mend() -> None:
    """A feature left out is not a missing value."""
    row = {"age": 30, "member": True}
    assert problems([row]) == [
        (0, "plan", "missing, give null where it is not known"),
        (0, "visits", "missing, give null where it is not known"),
    ]


def test_an_unknown_column_is_answered_with_the_nearest_name() -> None:
    """A typo is both a missing and an unknown column."""
    row = {"aeg": 30, "visits": 4, "member": True, "plan": "gold"}
    assert problems([row]) == [(0, "age", "missing"), (0, "aeg", "no such feature; did you mean 'age'?")]


def test_a_column_too_many_is_a_violation() -> None:
    """Nothing that came in is ignored."""
    assert problems([{**ROW, "zzz": 1}]) == [
        (0, "zzz", "no such feature; the model takes age, plan, visits, member"),
    ]


@pytest.mark.parametrize(
    ("row", "got"), [([30], "list"), ("x", "text"), (None, "null"), (3, "integer"), (True, "boolean")]
)
def test_a_row_that_is_no_object_is_a_violation(row: object, got: str) -> None:
    """The row is named; a good neighbour is not."""
    assert problems([ROW, row]) == [(1, None, f"got {got}, needs an object with one value for each feature")]


def test_no_rows_are_a_violation() -> None:
    """There is nothing to answer."""
    assert problems([]) == [(None, None, "no rows, needs at least one")]


def test_ten_problems_are_told_and_the_rest_counted() -> None:
    """An answer stays short however wrong the request is."""
    with pytest.raises(Violation, match=r"and 15 more$") as caught:
        columns_from_records(MIXED, [{**ROW, "age": "x"}] * 25)
    assert (len(caught.value.problems), caught.value.more) == (10, 15)


def test_a_violation_reads_as_one_line() -> None:
    """Row, column, what was got, what is needed."""
    with pytest.raises(Violation) as caught:
        columns_from_records(MIXED, [{**ROW, "age": "secret"}])
    assert str(caught.value) == "row 0, column 'age': got text, needs a number"


@pytest.mark.parametrize("feature", [AGE, VISITS, MEMBER, PLAN])
def test_a_single_feature_makes_a_table(feature: Feature) -> None:
    """One column is not a special case."""
    value = ROW[feature.name]
    columns = columns_from_records(contract(feature), [{feature.name: value}])
    assert columns[feature.name].tolist() == [value]


@pytest.mark.parametrize("value", [None, "", math.nan])
def test_a_missing_category_is_a_violation_where_training_saw_none(value: object) -> None:
    """One that may be missing beside it changes nothing."""
    both = contract(PLAN, Feature(name="state", kind="category", nullable=False))
    assert [(row, column) for row, column, _ in problems([{"plan": None, "state": value}], both)] == [(0, "state")]


def test_values_with_care_equal_values_in_bulk() -> None:
    """numpy scalars and other mappings go the slow way and give the same columns."""
    odd = {"age": np.float32(30.5), "visits": np.int64(4), "member": np.bool_(True), "plan": "gold"}
    slow, fast = columns_from_records(MIXED, [odd]), columns_from_records(MIXED, [ROW])
    assert all(slow[name].tolist() == fast[name].tolist() for name in ROW)


def test_split_rows_follow_the_named_columns() -> None:
    """In the contract's order or in another."""
    straight = columns_from_split(MIXED, ["age", "plan", "visits", "member"], [[30.5, "gold", 4, True]])
    turned = columns_from_split(MIXED, ["plan", "member", "age", "visits"], [["gold", True, 30.5, 4]])
    assert [straight[name][0] for name in ROW] == [turned[name][0] for name in ROW] == [30.5, 4.0, 1.0, "gold"]


@pytest.mark.parametrize(
    ("columns", "data", "text"),
    [
        (["age", "plan", "visits"], [[1, "gold", 1]], "column 'member': missing"),
        (["age", "plan", "visits", "membr"], [[1, "gold", 1, True]], "did you mean 'member'"),
        (["age", "plan", "visits", "age"], [[1, "gold", 1, 1]], "column 'age': named twice in 'columns'"),
        (["age", "plan", "visits", "member", "x"], [[1, "g", 1, True, 1]], "column 'x': no such feature"),
        (["age", "plan", "visits", 3], [[1, "gold", 1, True]], "'columns' holds integer"),
        (["age", "plan", "visits", ["member"]], [[1, "gold", 1, True]], "'columns' holds list"),
        (["age", "plan", "visits", "member"], [[1, "gold", 1]], "row 0: got 3 values, needs 4"),
        (["age", "plan", "visits", "member"], [[1, "gold", 1, True], {}], "row 1: got object, needs a list"),
        (["age", "plan", "visits", "member"], ["gold"], "row 0: got text, needs a list"),
        (["age", "plan", "visits", "member"], [["x", "gold", 1, True]], "row 0, column 'age': got text"),
        (["age", "plan", "visits", "member"], [], "no rows"),
    ],
)
def test_a_split_table_that_does_not_fit_is_a_violation(columns: list[Any], data: list[Any], text: str) -> None:
    """Header, row lengths and values are checked."""
    with pytest.raises(Violation, match=text):
        columns_from_split(MIXED, columns, data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
_RECORD = st.fixed_dictionaries({name: st.sampled_from([ROW[name]]) | _JSON for name in ROW}) | st.dictionaries(
    st.sampled_from(["age", "visits", "member", "plan", "x"]) | st.text(max_size=3), _JSON, max_size=5
)


@given(st.lists(_RECORD | _JSON, max_size=4))
def test_any_json_gives_columns_or_a_violation(rows: list[Any]) -> None:
    """Nothing a client sends is an internal error; what passes is what was sent."""
    try:
        columns = columns_from_records(MIXED, rows)
    except Violation:
        return
    assert len(columns["age"]) == len(rows)
    for index, row in enumerate(rows):
        assert columns["age"][index] == np.float32(row["age"])
        assert columns["plan"][index] == (row["plan"] if isinstance(row["plan"], str) else "")


@given(st.lists(_JSON, max_size=5), st.lists(_JSON | st.lists(_JSON, max_size=4), max_size=3))
def test_any_split_gives_columns_or_a_violation(columns: list[Any], data: list[Any]) -> None:
    """The same for a header and its rows."""
    for header in (columns, list(ROW)):
        try:
            assert len(columns_from_split(MIXED, header, data)["age"]) == len(data)
        except Violation:
            continue


def test_a_contract_survives_json() -> None:
    """What is written with a version is what is read back."""
    written = orjson.dumps(MIXED.to_json())
    assert Contract.from_json(orjson.loads(written)) == MIXED


NUMBERS = contract(AGE, VISITS, Feature(name="score", kind="number", nullable=True))
CELL = st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=2)


@given(st.lists(st.lists(CELL | st.lists(st.integers(), max_size=2), min_size=2, max_size=4), max_size=4))
def test_rows_surely_without_booleans_are_understood_all_the_same(data: list[list[Any]]) -> None:
    """The faster way gives the columns, or the violation, that the careful one gives; in either form."""

    def found(form: Any, *, booleans: bool) -> Any:
        try:
            columns = form(booleans=booleans)
        except Violation as violation:
            return [(item.row, item.column, item.message) for item in violation.problems]
        return {name: values.astype(object).tolist() for name, values in columns.items()}

    names = NUMBERS.names()
    records = [dict(zip(names, row, strict=False)) for row in data]
    for form in (
        partial(columns_from_split, NUMBERS, names, data),
        partial(columns_from_records, NUMBERS, records),
    ):
        assert repr(found(form, booleans=False)) == repr(found(form, booleans=True))

"""Arrays become columns, as the same values in JSON do."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flyball.engine.arrays import columns_from_arrays
from flyball.engine.check import Violation
from flyball.engine.contract import Contract, Feature, LabelKind
from flyball.engine.infer import label_kind_of

FEATURES = (
    Feature(name="age", kind="number", nullable=False),
    Feature(name="plan", kind="category", nullable=True),
    Feature(name="visits", kind="integer", nullable=True),
    Feature(name="member", kind="boolean", nullable=False),
)
CONTRACT = Contract(model="churn", task="regression", features=FEATURES, classes=(), positive=None, example={})


def arrays(**changed: Any) -> dict[str, Any]:
    good = {
        "age": np.array([30.5, 41]),
        "plan": np.array(["gold", ""], dtype=object),
        "visits": np.array([4, 7], dtype=np.int64),
        "member": np.array([True, False]),
    }
    return {**good, **changed}


def test_arrays_of_any_width_become_columns() -> None:
    """float64, int64, bool and text: float32 and text."""
    columns = columns_from_arrays(CONTRACT, arrays())
    assert {name: values.tolist() for name, values in columns.items()} == {
        "age": [30.5, 41.0],
        "plan": ["gold", ""],
        "visits": [4.0, 7.0],
        "member": [1.0, 0.0],
    }


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.int16, np.uint64])
def test_a_number_may_have_any_width(dtype: Any) -> None:
    """What a client has is what it may send."""
    assert columns_from_arrays(CONTRACT, arrays(age=np.array([30, 41], dtype)))["age"].tolist() == [30.0, 41.0]


def test_an_integer_column_with_missing_values_is_sent_as_floats() -> None:
    """NaN is missing; integers have none."""
    visits = columns_from_arrays(CONTRACT, arrays(visits=np.array([4.0, math.nan])))["visits"]
    assert visits[0] == 4.0
    assert math.isnan(visits[1])


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age", np.array([30.5, math.nan]), "got NaN, needs a number: no value was missing in training"),
        ("age", np.array([30.5, 1e39]), "got a number beyond 3.4e+38, needs one that fits 32 bits"),
        ("age", np.array([30.5, "x"], dtype=object), "got text, needs a number"),
        ("visits", np.array([1.0, 4.5]), "got a number with a fraction, needs an integer"),
        ("member", np.array([1, 2]), "got integer, needs true or false"),
    ],
)
def test_a_value_that_does_not_fit_is_named(column: str, values: Any, message: str) -> None:
    """Row and column, in the words used for JSON."""
    with pytest.raises(Violation) as caught:
        columns_from_arrays(CONTRACT, arrays(**{column: values}))
    problem = caught.value.problems[0]
    assert (problem.row, problem.column, problem.message) == (1, column, message)


def test_booleans_are_no_numbers() -> None:
    """Types are strict, whichever way they come."""
    with pytest.raises(Violation, match="column 'age': got boolean, needs a number"):
        columns_from_arrays(CONTRACT, arrays(age=np.array([True, False])))


def test_a_column_that_is_missing_or_unknown_is_named() -> None:
    """As in the columns-and-data form of JSON."""
    given = arrays(aeg=np.array([1.0, 2.0]))
    del given["age"]
    with pytest.raises(Violation, match="column 'age': missing; column 'aeg': no such feature; did you mean 'age'"):
        columns_from_arrays(CONTRACT, given)


def test_no_rows_are_a_violation() -> None:
    """There is nothing to answer."""
    with pytest.raises(Violation, match="no rows"):
        columns_from_arrays(CONTRACT, {name: values[:0] for name, values in arrays().items()})


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (np.array([0, 1]), "integer"),
        (np.array([0.0, 1.5]), "number"),
        (np.array([False, True]), "boolean"),
        (np.array(["a", "b"]), "text"),
        (np.array([1, "b"], dtype=object), "text"),
        ([], "text"),
    ],
)
def test_the_kind_of_a_label_is_the_fitted_models(classes: Any, kind: LabelKind) -> None:
    """Integers stay integers; a mixture is text."""
    assert label_kind_of(SimpleNamespace(classes_=classes)) == kind


@pytest.mark.parametrize(
    ("kind", "classes", "labels"),
    [
        ("text", ("no", "yes"), ("no", "yes")),
        ("integer", ("0", "1"), (0, 1)),
        ("number", ("0.5", "1"), (0.5, 1.0)),
        ("boolean", ("0", "1"), (False, True)),
        ("boolean", ("False", "True"), (False, True)),
    ],
)
def test_labels_are_given_back_in_the_models_own_type(kind: Any, classes: Any, labels: Any) -> None:
    """The contract keeps them as text, and knows what they were."""
    contract = Contract(
        model="m", task="binary", features=FEATURES, classes=classes, positive=None, example={}, label_kind=kind
    )
    assert [(type(label), label) for label in contract.labels()] == [(type(label), label) for label in labels]


def test_a_contract_written_before_labels_had_kinds_is_read() -> None:
    """Older bundles answer text."""
    written = CONTRACT.to_json()
    del written["label_kind"]
    assert Contract.from_json(written).label_kind == "text"

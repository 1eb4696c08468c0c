"""A given answer against the one of now: equal, within tolerance, different."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flyball.cli.again import compared, record_of
from flyball.engine.contract import Contract, Feature, Prediction

BINARY = Contract(
    model="churn",
    task="binary",
    features=(
        Feature(name="visits", kind="number", nullable=True),
        Feature(name="paid", kind="boolean", nullable=False),
        Feature(name="plan", kind="category", nullable=False),
    ),
    classes=("0", "1"),
    positive="1",
    example={},
)
VALUE = replace(BINARY, task="regression", classes=(), positive=None)
CLASSES = replace(BINARY, task="multiclass", classes=("a", "b", "c"), positive=None)

#: the float32 next to 0.5.
NEXT = float(np.nextafter(np.float32(0.5), np.float32(1)))


def number(value: float) -> Prediction:
    return Prediction(prediction=np.array([value]), score=np.array([value]), probabilities=None)


@pytest.mark.parametrize(
    ("contract", "now", "then", "state", "difference"),
    [
        (BINARY, 0.5, 0.5, "equal", 0.0),
        (BINARY, 0.1, float(np.float32(0.1)), "equal", 0.0),  # as the lake holds what an engine answered
        (BINARY, NEXT, 0.5, "within", NEXT - 0.5),
        (BINARY, 0.50002, 0.5, "different", 0.00002),
        (VALUE, 5000.01, 5000.0, "within", 0.000002),  # relative to the value
        (VALUE, 0.1, 0.0, "different", 0.1),
        (BINARY, float("nan"), None, "equal", 0.0),  # the journal writes what is no number as null
        (BINARY, 0.5, None, "different", None),
    ],
)
def test_an_answer_is_equal_within_tolerance_or_different(
    contract: Contract, now: float, then: float | None, state: str, difference: float | None
) -> None:
    """To the bit of float32, which engines answer; then by the version's own tolerance, here 1e-5."""
    found = compared(contract, number(now), then, then, 1e-5)
    assert (found.state, found.sound) == (state, state != "different")
    assert found.difference == (None if difference is None else pytest.approx(difference, rel=1e-3))


@pytest.mark.parametrize(
    ("then", "score", "state"),
    [("b", 0.4, "equal"), ("a", 0.4, "within"), ("a", 0.5, "different"), ("z", 0.4, "different")],
)
def test_of_several_classes_the_one_that_was_answered_counts(then: str, score: float, state: str) -> None:
    """Of two that are equally probable either may have been named; a class the version does not know is different."""
    probabilities = np.array([[0.4, 0.4, 0.2]])
    now = Prediction(prediction=np.array(["b"], dtype=object), score=np.array([0.4]), probabilities=probabilities)
    assert compared(CLASSES, now, then, score, 1e-5).state == state


@pytest.mark.parametrize(
    ("features", "record"),
    [
        ({"visits": 2.0, "paid": True, "plan": "7"}, {"visits": 2.0, "paid": True, "plan": "7"}),
        ({"visits": "0.1", "paid": "true", "plan": "7"}, {"visits": 0.1, "paid": 1.0, "plan": "7"}),
        ({"visits": None, "paid": 0.0, "plan": "x", "more": 1}, {"visits": None, "paid": 0.0, "plan": "x"}),
        ({"visits": "many", "paid": False, "plan": "x"}, {"visits": "many", "paid": False, "plan": "x"}),
    ],
)
def test_a_row_is_read_as_it_was_asked(features: dict[str, Any], record: dict[str, Any]) -> None:
    """Numbers out of columns that hold texts elsewhere in the lake; what is no number is left for the contract to refuse."""
    assert record_of(BINARY, features) == record

"""What a label says of the condition a version was made under."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flyball.loop.labels import condition
from flyball.registry.versions import LABEL_LENGTH, label_of

DECLARED = {
    "learning_rate": 0.1,
    "trees": 200,
    "late_minutes": 15,
    "long_marks": 2,
    "shuffle": False,
    "airports": "EWR JFK",
}


@pytest.mark.parametrize(
    ("changed", "estimator", "told"),
    [
        ({}, "LGBMClassifier", "lgbm"),
        ({}, "HistGradientBoostingRegressor", "histgradientboosting"),
        ({"learning_rate": 0.05}, "LGBMClassifier", "lgbm-lr0.05"),
        ({"trees": 300, "learning_rate": 0.05}, "LGBMClassifier", "lgbm-lr0.05-trees300"),
        ({"late_minutes": 30, "long_marks": 3}, "onnx", "onnx-late_minutes30-long_marks3"),
        ({"shuffle": True}, "Ridge", "ridge-shuffle-yes"),
        ({"airports": "EWR/LGA"}, "Ridge", "ridge-airports-EWR-LGA"),
        ({"condition": "Night shift"}, "Ridge", "night-shift"),
        ({"condition": "winter", "trees": 1}, "Ridge", "winter-trees1"),
        ({"new_one": None}, "Ridge", "ridge-no-None"),
        ({"learning_rate": 0.1}, "Ridge", "ridge"),
    ],
)
def test_a_condition_is_the_estimator_and_what_was_given_for_this_run(
    changed: dict[str, Any], estimator: str, told: str
) -> None:
    """Values that are as declared are not told; two names of the same initials are told whole."""
    assert condition({**DECLARED, **changed}, DECLARED, estimator) == told


def test_a_label_is_short_enough_to_type() -> None:
    """Model, date and data are whole, the condition is cut."""
    made = datetime(2013, 7, 1, tzinfo=UTC)
    assert label_of("flight-delay", made, "d3f9a1c2ee", "lgbm-lr0.05") == "flight-delay-20130701-d3f9a1c2-lgbm-lr0.05"
    assert label_of("flight-delay", made, "d3f9a1c2ee", "") == "flight-delay-20130701-d3f9a1c2"
    long = label_of("flight-delay", made, "d3f9a1c2ee", "x" * 200)
    assert (len(long), long[:30]) == (LABEL_LENGTH, "flight-delay-20130701-d3f9a1c2")

"""How far two models' answers are apart, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.errors import Mistake
from flyball.stats.agreement import agreement, differences


def test_two_binary_models_are_compared_by_probability_and_class() -> None:
    """0.5 itself answers positive: of four rows one changes its class."""
    found = agreement("binary", np.array([0.1, 0.4, 0.5, 0.9]), np.array([0.2, 0.5, 0.6, 0.9]))
    assert (found.rows, found.class_changes) == (4, 0.25)
    assert (found.mean_difference, found.max_difference) == pytest.approx((0.075, 0.1))
    # deviations -0.375 -0.075 0.025 0.425 and -0.35 -0.05 0.05 0.35: 0.285 over the root of 0.3275 times 0.25
    assert found.correlation == pytest.approx(0.285 / (0.3275 * 0.25) ** 0.5)


def test_several_classes_are_compared_by_the_largest_of_their_differences() -> None:
    """The class is the most probable one."""
    a = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    b = np.array([[0.3, 0.5, 0.2], [0.2, 0.5, 0.3]])
    assert differences(a, b) == pytest.approx([0.3, 0])
    found = agreement("multiclass", a, b)
    assert (found.class_changes, found.mean_difference) == (0.5, pytest.approx(0.15))


def test_a_regression_has_no_classes() -> None:
    """Values are compared as they are; a model that answers everything alike has no correlation."""
    found = agreement("regression", np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert (found.class_changes, found.correlation, found.max_difference) == (None, None, 1.0)


def test_answers_that_cannot_be_compared_are_refused() -> None:
    """Another number of rows or classes, or no row."""
    with pytest.raises(Mistake, match="row by row"):
        differences(np.zeros(2), np.zeros(3))
    with pytest.raises(Mistake, match="no rows"):
        agreement("binary", np.empty(0), np.empty(0))

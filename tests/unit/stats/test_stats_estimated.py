"""Performance without labels, on simulations whose truth is known; tolerances are four standard errors of that truth or less."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.calibrated import Calibration, calibration_from_json, chance, fit_calibration
from flyball.stats.estimated import estimate_binary
from flyball.stats.expected_errors import PREDICTION, ErrorModel, Tree, error_model_from_json, estimate_regression
from flyball.stats.means import mean_of
from flyball.stats.metrics import compute

Floats = npt.NDArray[np.float64]
HELD_OUT, ROWS = 8_000, 10_000
#: |estimate - truth| stated in the docs: of AUC and accuracy.
STATED = 0.02


def world(random: np.random.Generator, rows: int, *, shift: float = 0.0, slope: float = 2.0) -> tuple[Floats, Floats]:
    """(what happened, the score): x ~ N(shift, 1), P(1) = logistic(slope x); the model says logistic(3 x), too sure of itself."""
    x = random.normal(shift, 1, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-slope * x))).astype(np.float64)
    return y, 1 / (1 + np.exp(-3 * x))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    found = fit_calibration(*world(np.random.default_rng(1), HELD_OUT))
    assert found is not None
    return found


@pytest.mark.parametrize("shift", [0.0, 0.7, -1.0])
def test_without_concept_drift_the_estimate_is_near_the_truth(calibration: Calibration, shift: float) -> None:
    """With the training's inputs, and with inputs moved by 0.7 and 1 standard deviations."""
    y, score = world(np.random.default_rng(2), ROWS, shift=shift)
    found = estimate_binary(calibration, score, confidence=0.95)
    for metric in ("auc", "accuracy"):
        assert found[metric].value == pytest.approx(compute(metric, "binary", y, score), abs=STATED)
        assert found[metric].low < found[metric].value < found[metric].high


def test_concept_drift_cannot_be_seen(calibration: Calibration) -> None:
    """The same inputs mean nothing any more: AUC is 0.5, and the estimate is what it was."""
    y, score = world(np.random.default_rng(3), ROWS, slope=0.0)
    assert compute("auc", "binary", y, score) < 0.52
    assert estimate_binary(calibration, score, confidence=0.95)["auc"].value > 0.8


def test_a_map_of_few_rows_is_a_curve_and_rises() -> None:
    """Platt's, of 300 rows; kept as JSON and back it is the same map."""
    found = fit_calibration(*world(np.random.default_rng(4), 300))
    assert found is not None
    again = calibration_from_json(found.to_json())
    at = np.linspace(0, 1, 11)
    assert (np.diff(chance(found, at)) >= 0).all()
    assert chance(again, at) == pytest.approx(chance(found, at), abs=1e-6)


@pytest.mark.parametrize(("ones", "zeros"), [(0, 500), (500, 5), (50, 100)])
def test_too_few_rows_of_either_outcome_give_no_map(ones: int, zeros: int) -> None:
    """One class, nine of it, or fewer than 200 rows."""
    y = np.repeat([1.0, 0.0], [ones, zeros])
    assert fit_calibration(y, np.linspace(0, 1, len(y))) is None


def test_expected_values_by_hand() -> None:
    """Chances 0.8 and 0.3 at the scores 0.9 and 0.1: accuracy (0.8 + 0.7) / 2, precision 0.8, recall 0.8 / 1.1."""
    even = np.array([[0.3, 0.8]] * 50)
    known = Calibration(rows=1000, knots=np.array([0.1, 0.9]), chances=np.array([0.3, 0.8]), resampled=even)
    found = estimate_binary(known, np.array([0.9, 0.1]), confidence=0.95)
    assert found["accuracy"].value == pytest.approx(0.75)
    assert found["precision"].value == pytest.approx(0.8)
    assert found["recall"].value == pytest.approx(0.8 / 1.1)
    # Of the two only a positive at 0.9 with a negative at 0.1 (0.56), or the other way round (0.06), is a pair.
    assert found["auc"].value == pytest.approx(0.56 / 0.62)
    assert estimate_binary(known, np.array([]), confidence=0.95) == {}


def test_errors_are_foretold_by_the_leaf_that_a_row_comes_to() -> None:
    """x at or below 1: error 1, above: 3; three rows and one make 1.5, root mean square 1.732; unknown is read as 0."""
    tree = Tree(
        column=np.array([0, -1, -1]),
        threshold=np.array([1.0, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 9.0]]),
    )
    model = ErrorModel(
        rows=100, inputs=("x", PREDICTION), levels={}, unknown={"x": 0.0, PREDICTION: 0.0}, trees=(tree,), spread=(1, 1)
    )
    columns = {"x": [0.0, 1.0, np.nan, 2.0], PREDICTION: [5.0] * 4}
    found = estimate_regression(error_model_from_json(model.to_json()), columns, 4, confidence=0.95)
    assert (found["mae"].value, found["rmse"].value) == (1.5, pytest.approx(np.sqrt(3)))
    assert found["mae"].high == pytest.approx(1.5 + 1.959964 * np.sqrt(1 / 4 + 1 / 100))


def test_means_have_wilsons_or_students_interval() -> None:
    """1 of 10: Wilson gives [0.018, 0.404]; 1, 2, 3: t with two degrees gives 2 +- 2.484; one value has none."""
    one = mean_of([1] + [0] * 9, confidence=0.95, binary=True)
    assert (one.low, one.high) == (pytest.approx(0.0179, abs=1e-4), pytest.approx(0.4042, abs=1e-4))
    three = mean_of([1.0, 2.0, 3.0], confidence=0.95)
    assert three.high - three.value == pytest.approx(2.484, abs=1e-3)
    assert np.isnan(mean_of([1.0], confidence=0.95).low)
    assert np.isnan(mean_of([], confidence=0.95).value)

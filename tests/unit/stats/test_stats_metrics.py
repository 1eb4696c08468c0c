"""Metrics against values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flyball.errors import Mistake
from flyball.stats.metrics import METRICS, compute
from flyball.stats.names import GREATER_IS_BETTER, METRIC_NAMES, SERVING_METRICS

# Ten rows by hand: 4 positives; scores at or above 0.5 answer positive.
Y = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
SCORE = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 0.3, 0.5, 0.7, 0.9])


def test_every_named_metric_can_be_computed_and_has_a_direction() -> None:
    """The names settings are checked against are the names that compute knows."""
    assert {task: set(names) for task, names in METRIC_NAMES.items()} == {task: set(m) for task, m in METRICS.items()}
    assert set(GREATER_IS_BETTER) == {name for names in METRIC_NAMES.values() for name in names} | set(SERVING_METRICS)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("auc", 18 / 24),  # positives beat 2.5 + 4.5 + 5 + 6 of the 6 negatives each
        ("accuracy", 7 / 10),
        ("precision", 3 / 5),
        ("recall", 3 / 4),
        ("f1", 6 / 9),
        ("brier", (0.01 + 0.04 + 0.09 + 0.16 + 0.25 + 0.64 + 0.49 + 0.25 + 0.09 + 0.01) / 10),
        ("average_precision", (1 / 1 + 2 / 3 + 3 / 5 + 4 / 8) / 4),
    ],
)
def test_a_binary_metric_is_its_value_by_hand(metric: str, expected: float) -> None:
    """Ties share ranks in auc and thresholds in average precision; 0.5 itself answers positive."""
    assert compute(metric, "binary", Y, SCORE) == pytest.approx(expected, abs=1e-12)


def test_log_loss_stays_finite_when_the_model_was_sure_and_wrong() -> None:
    """A probability of 0 for what happened costs -log(2.2e-16) = 36.04 nats."""
    assert compute("log_loss", "binary", [1, 0], [0.0, 1.0]) == pytest.approx(36.0437, abs=1e-4)


def test_regression_metrics_are_their_values_by_hand() -> None:
    """Errors 1, -1, 2 against a target with mean 3 and squared deviations 4, 0, 4."""
    y, score = [1, 3, 5], [2, 2, 7]
    assert compute("rmse", "regression", y, score) == pytest.approx(math.sqrt(2))
    assert compute("mae", "regression", y, score) == pytest.approx(4 / 3)
    assert compute("r2", "regression", y, score) == pytest.approx(1 - 6 / 8)


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]])
def test_ranking_metrics_of_a_single_class_are_nan(y: list[int]) -> None:
    """Nothing is ranked above anything; 0, 0.5 or 1 would be made up."""
    assert math.isnan(compute("auc", "binary", y, [0.1, 0.2, 0.3]))
    assert math.isnan(compute("average_precision", "binary", y, [0.1, 0.2, 0.3]))


@pytest.mark.parametrize(
    ("metric", "task", "y", "score"),
    [
        ("precision", "binary", [0, 1], [0.1, 0.2]),
        ("recall", "binary", [0, 0], [0.9, 0.2]),
        ("f1", "binary", [0, 0], [0.1, 0.2]),
        ("r2", "regression", [2, 2], [1, 3]),
    ],
)
def test_a_ratio_over_nothing_is_nan(metric: str, task: str, y: list[int], score: list[float]) -> None:
    """No positive answer, no positive, neither, a constant target."""
    assert math.isnan(compute(metric, task, y, score))


@pytest.mark.parametrize(("task", "metric"), [(task, name) for task, names in METRIC_NAMES.items() for name in names])
def test_no_rows_give_nan(task: str, metric: str) -> None:
    """An empty window has no performance, good or bad."""
    score = np.empty((0, 3)) if task == "multiclass" else np.empty(0)
    assert math.isnan(compute(metric, task, np.empty(0), score))


def test_constant_scores_have_an_auc_of_one_half() -> None:
    """All ties count half."""
    assert compute("auc", "binary", Y, np.full(10, 0.3)) == 0.5


@pytest.mark.parametrize(
    ("metric", "task", "y", "score", "complaint"),
    [
        ("auc", "binary", [0, 1], [0.1, math.nan], "1 of 2 scores are nan"),
        ("mae", "regression", [math.inf, 1], [1, 1], "1 of 2 labels are nan"),
        ("auc", "binary", [0, 2], [0.1, 0.2], "class indices 0 to 1"),
        ("accuracy", "multiclass", [0, 3], np.full((2, 3), 1 / 3), "class indices 0 to 2"),
        ("auc", "binary", [0, 1, 1], [0.1, 0.2], "shape"),
        ("accuracy", "multiclass", [0, 1], [0.1, 0.2], "shape"),
        ("acu", "binary", [0, 1], [0.1, 0.2], "allowed: auc"),
        ("auc", "ranking", [0, 1], [0.1, 0.2], "task 'ranking'"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(
    metric: str, task: str, y: list[float], score: object, complaint: str
) -> None:
    """Refuse, never ignore: a nan that is dropped quietly flatters the model that gave it."""
    with pytest.raises(Mistake, match=complaint):
        compute(metric, task, y, score)  # type: ignore[arg-type]

"""The paired interval that the gate decides by is that of a paired bootstrap, without its draws and its seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.answers import Answers
from flyball.stats.intervals import paired
from flyball.stats.metrics import METRICS
from flyball.stats.names import METRIC_NAMES

Floats = npt.NDArray[np.float64]

ROWS = 1_500
DRAWS = 2_000

#: of the bootstrap interval's width: how far either end may be from the other's. Two quantiles of 2,000 draws err by 0.015
#: of it (one standard error); the rest is that 1,500 rows are not infinitely many.
TOLERANCE = 0.08
#: a draw repeats rows, which opens gaps in every bin that the rows have not, so the bootstrap of `ece` is biased.
TOLERANCE_ECE = 0.15


def two_models(task: str) -> tuple[Floats, Floats, Floats]:
    """Labels and the answers of two models that agree on much."""
    random = np.random.default_rng(11)
    shared, first, second = random.normal(size=(3, ROWS))
    if task == "regression":
        return shared, shared + 0.3 * first, 0.9 * shared + 0.35 * second
    if task == "binary":
        y = (random.random(ROWS) < 1 / (1 + np.exp(0.7 - shared))).astype(np.float64)
        return y, 1 / (1 + np.exp(0.7 - shared - 0.5 * first)), 1 / (1 + np.exp(0.5 - 0.7 * shared - 0.5 * second))
    y = random.integers(0, 3, ROWS)
    scores = [random.dirichlet(np.ones(3), ROWS) + weight * np.eye(3)[y] for weight in (0.5, 0.4)]
    one, two = (score / score.sum(axis=1, keepdims=True) for score in scores)
    return y.astype(np.float64), one, two


@pytest.mark.slow
@pytest.mark.parametrize(("task", "metric"), [(task, name) for task, names in METRIC_NAMES.items() for name in names])
def test_the_influence_interval_is_that_of_a_paired_bootstrap(task: str, metric: str) -> None:
    """2,000 draws of rows for both models: either end of the 95 % interval within 8 % of its width, of `ece` 15 %."""
    y, candidate, champion = two_models(task)
    found = paired(metric, task, y, candidate, champion, confidence=0.95)
    random, value = np.random.default_rng(3), METRICS[task][metric]
    differences = np.empty(DRAWS)
    for draw in range(DRAWS):
        rows = random.integers(0, ROWS, ROWS)
        both = [value(Answers(task=task, y=y[rows], score=score[rows])) for score in (candidate, champion)]
        differences[draw] = both[0] - both[1]
    low, high = np.quantile(differences, (0.025, 0.975))
    apart = np.array([found.low - low, found.high - high]) / (high - low)
    assert np.abs(apart).max() < (TOLERANCE_ECE if metric == "ece" else TOLERANCE)

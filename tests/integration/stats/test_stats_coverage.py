"""Intervals hold what they promise, by simulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.intervals import estimate
from flyball.stats.metrics import compute

Floats = npt.NDArray[np.float64]


def rows_of(task: str, n: int, seed: int) -> tuple[Floats, Floats]:
    """A modest model's answers, with ties."""
    rng = np.random.default_rng(seed)
    if task == "binary":
        y = (rng.random(n) < 0.3).astype(np.float64)
        return y, np.round(np.clip(0.35 + 0.3 * (y - 0.3) + rng.normal(0, 0.2, n), 0, 1), 2)
    y = rng.normal(10, 2, n)
    return y, y + rng.normal(0, 1, n)


@pytest.mark.parametrize(
    ("task", "metric"), [("binary", "auc"), ("binary", "average_precision"), ("binary", "f1"), ("regression", "rmse")]
)
def test_a_95_percent_interval_holds_the_truth_95_percent_of_the_time(task: str, metric: str) -> None:
    """400 samples of 400 rows: 95 % +- 3.3 points (three standard errors), and up to 1.5 for small-sample bias."""
    truth = compute(metric, task, *rows_of(task, 400_000, 0))
    intervals = [estimate(metric, task, *rows_of(task, 400, seed), confidence=0.95) for seed in range(1, 401)]
    held = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.95 - 0.048 <= held <= 0.95 + 0.033

"""Intervals: against published formulas and the jackknife."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from flyball.errors import Mistake
from flyball.stats.answers import answers_of
from flyball.stats.estimate import Estimate
from flyball.stats.influence import appraise
from flyball.stats.intervals import detectable, estimate, holm, p_value, paired
from flyball.stats.metrics import compute
from flyball.stats.names import METRIC_NAMES

Floats = npt.NDArray[np.float64]
SIDES: tuple[Literal["below", "above"], ...] = ("below", "above")


def rows_of(task: str, n: int, seed: int) -> tuple[Floats, Floats]:
    """A modest model's answers, with ties."""
    rng = np.random.default_rng(seed)
    if task == "binary":
        y = (rng.random(n) < 0.3).astype(np.float64)
        return y, np.round(np.clip(0.35 + 0.3 * (y - 0.3) + rng.normal(0, 0.2, n), 0, 1), 2)
    if task == "multiclass":
        y = rng.integers(0, 3, n).astype(np.float64)
        score = rng.dirichlet(np.ones(3), n) + 0.4 * np.eye(3)[y.astype(int)]
        return y, score / score.sum(axis=1, keepdims=True)
    y = rng.normal(10, 2, n)
    return y, y + rng.normal(0, 1, n)


def delong_variance(y: Floats, first: Floats, second: Floats | None = None) -> float:
    """DeLong (1988) from the matrix of pairs, as in the paper."""

    def components(score: Floats) -> tuple[Floats, Floats]:
        up, down = score[y == 1][:, None], score[y == 0][None, :]
        psi = (up > down) + 0.5 * (up == down)
        return psi.mean(axis=1), psi.mean(axis=0)

    v10, v01 = components(first)
    if second is not None:
        w10, w01 = components(second)
        v10, v01 = v10 - w10, v01 - w01
    return float(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))


def test_the_interval_of_an_auc_is_delongs() -> None:
    """Value and half width equal the definition over all pairs, ties included."""
    y, score = rows_of("binary", 200, 1)
    got = estimate("auc", "binary", y, score, confidence=0.95)
    half = 1.959963984540054 * math.sqrt(delong_variance(y, score))
    assert (got.low, got.high, got.rows) == (pytest.approx(got.value - half), pytest.approx(got.value + half), 200)


def test_the_interval_of_a_difference_of_aucs_is_delongs() -> None:
    """Paired: with the covariance of two models on the same rows."""
    y, score = rows_of("binary", 200, 2)
    other = np.clip(score + np.random.default_rng(0).normal(0, 0.1, 200), 0, 1)
    got = paired("auc", "binary", y, score, other, confidence=0.9)
    half = 1.6448536269514722 * math.sqrt(delong_variance(y, score, other))
    assert got.value == pytest.approx(compute("auc", "binary", y, score) - compute("auc", "binary", y, other))
    assert (got.high - got.low) / 2 == pytest.approx(half)


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    """mae of errors 1, 2, 3, 6: mean 3, sd sqrt(14/3)."""
    got = estimate("mae", "regression", [0, 0, 0, 0], [1, 2, 3, 6], confidence=0.95)
    half = 1.959963984540054 * math.sqrt(14 / 3 / 4)
    assert (got.value, got.low, got.high) == (3, pytest.approx(3 - half), pytest.approx(3 + half))


def test_clusters_use_the_sums_and_students_t() -> None:
    """Two rows each in three clusters; errors' means 1, 2, 6 per cluster, so mean 3, sd sqrt(7), t with 2 df."""
    got = estimate(
        "mae", "regression", np.zeros(6), [1, 1, 1, 3, 5, 7], confidence=0.95, clusters=["a", "a", "b", "b", "c", "c"]
    )
    half = 4.302652729749462 * math.sqrt(7 / 3)
    assert (got.value, got.high) == (3, pytest.approx(3 + half))
    assert got.low == max(0, 3 - half)


@pytest.mark.parametrize(
    ("task", "metric"), [(task, name) for task, names in METRIC_NAMES.items() for name in names if name != "ece"]
)
def test_influence_values_are_the_jackknifes(task: str, metric: str) -> None:
    """(n - 1)(metric - metric without row i) tends to the influence of row i; at n = 400 they correlate above 0.999."""
    y, score = rows_of(task, 400, 5)
    full = compute(metric, task, y, score)
    kept = ~np.eye(400, dtype=bool)
    jackknife = np.array([399 * (full - compute(metric, task, y[keep], score[keep])) for keep in kept])
    _, values = appraise(metric, answers_of(task, y, score))
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert np.corrcoef(values, jackknife)[0, 1] > 0.999
    assert values.std() == pytest.approx(jackknife.std(), rel=0.02)


def test_rows_that_move_together_need_clusters_to_be_honest() -> None:
    """Each row ten times over: the clustered interval is as wide as the single rows', the naive one sqrt(10) too narrow."""
    y, score = rows_of("binary", 300, 6)
    once = estimate("auc", "binary", y, score, confidence=0.95)
    often = np.repeat(y, 10), np.repeat(score, 10)
    naive = estimate("auc", "binary", *often, confidence=0.95)
    honest = estimate("auc", "binary", *often, confidence=0.95, clusters=np.repeat(np.arange(300), 10))
    width = once.high - once.low
    assert (naive.high - naive.low) * math.sqrt(10) == pytest.approx(width, rel=0.02)
    assert honest.high - honest.low == pytest.approx(width, rel=0.02)


def test_a_model_compared_with_itself_differs_by_exactly_nothing() -> None:
    """So that 'not worse than' holds and 'better than' does not."""
    y, score = rows_of("binary", 100, 7)
    got = paired("auc", "binary", y, score, score, confidence=0.95)
    assert (got.value, got.low, got.high) == (0, 0, 0)


def test_the_sign_of_a_difference_is_candidate_minus_champion() -> None:
    """A candidate with the larger error has a positive difference in rmse."""
    got = paired("rmse", "regression", [0, 0, 0], [2, 2, 2], [1, 1, 1], confidence=0.95)
    assert got.value == 1


@pytest.mark.parametrize(
    ("y", "score", "clusters"),
    [
        ([], [], None),
        ([1], [0.4], None),
        ([0, 0, 0], [0.1, 0.2, 0.3], None),
        ([0, 0, 1], [0.1, 0.2, 0.3], None),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1]),
    ],
)
def test_an_interval_that_cannot_be_known_is_nan(y: list[int], score: list[float], clusters: list[int] | None) -> None:
    """No rows, one row, one class, one positive, one cluster: no guess that would promote or alarm."""
    got = estimate("auc", "binary", y, score, confidence=0.95, clusters=clusters)
    assert math.isnan(got.low)
    assert math.isnan(got.high)


def test_an_interval_ends_where_the_metric_does() -> None:
    """An accuracy is never above 1, an error never below 0."""
    assert estimate("accuracy", "binary", [1, 1, 0], [1, 1, 1], confidence=0.99).high == 1
    assert estimate("mae", "regression", [0, 0, 0], [0, 0, 1], confidence=0.99).low == 0


@pytest.mark.parametrize("confidence", [0.5, 1, 95])
def test_a_confidence_outside_its_range_is_refused(confidence: float) -> None:
    """95 is not 0.95."""
    with pytest.raises(Mistake, match="allowed: between"):
        estimate("accuracy", "binary", [0, 1], [0, 1], confidence=confidence)


def test_clusters_must_be_one_per_row() -> None:
    """A cluster column of another table is an error, not a broadcast."""
    with pytest.raises(Mistake, match="one cluster per row"):
        estimate("accuracy", "binary", [0, 1], [0, 1], confidence=0.95, clusters=[1, 2, 3])


def test_holm_steps_down_and_leaves_out_what_was_not_tested() -> None:
    """Worked by hand: p times the number of tests not yet rejected, never less than the one before, at most 1."""
    adjusted = holm([0.01, 0.04, np.nan, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, np.nan, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_a_p_value_agrees_with_the_interval() -> None:
    """The bound at an interval's end has half of what the interval leaves out, clustered or not."""
    random = np.random.default_rng(3)
    y = (random.random(500) < 0.4).astype(float)
    first, second = y + random.normal(size=(2, 500))
    for clusters in (None, np.arange(500) // 10):
        apart = paired("auc", "binary", y, first, second, confidence=0.9, clusters=clusters)
        for bound, p in ((apart.high, 0.05), (apart.low, 0.95), (apart.value, 0.5)):
            assert p_value(
                "auc", "binary", y, first, second, bound=bound, side="below", clusters=clusters
            ) == pytest.approx(p)
            other = p_value("auc", "binary", y, first, second, bound=bound, side="above", clusters=clusters)
            assert other == pytest.approx(1 - p)
    assert [p_value("auc", "binary", y, first, first, bound=0, side=side) for side in SIDES] == [1, 1]


def test_what_could_have_been_detected_is_detected_four_times_in_five() -> None:
    """(1.960 + 0.842) / 1.960 half widths."""
    found = Estimate(value=0.0, low=-0.0196, high=0.0196, rows=1)
    assert detectable(found, 0.95) == pytest.approx(0.0196 / 1.959964 * (1.959964 + 0.841621))

"""Distances, tails and metrics against the libraries that people compare them with; values by hand are in the unit tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance
from sklearn import metrics as sk

from flyball.stats.distances import chi_square, js_distance, js_divergence, ks, normed_wasserstein
from flyball.stats.metrics import compute
from flyball.stats.tails import g_test, location_root, share_limits

HALF = np.array([50, 50])
SKEW = np.array([80, 20])


def test_jensen_shannon_is_scipys() -> None:
    """Base 2; the distance is the root of the divergence."""
    expected = distance.jensenshannon([0.8, 0.2], [0.5, 0.5], base=2)
    assert js_distance(SKEW, HALF) == pytest.approx(expected)
    assert js_divergence(SKEW, HALF) == pytest.approx(expected**2)


def test_ks_is_scipys_when_every_value_is_its_own_bin() -> None:
    """The largest gap between the cumulative shares."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 10, 200), rng.integers(2, 12, 300)
    got = ks(np.bincount(a, minlength=12), np.bincount(b, minlength=12))
    assert got == pytest.approx(stats.ks_2samp(a, b).statistic)


def test_wasserstein_is_scipys_over_the_sd() -> None:
    """Rows at their bins' positions, unevenly spaced."""
    positions, window, reference = np.array([0.0, 1.0, 5.0]), np.array([1, 2, 7]), np.array([5, 5, 10])
    expected = stats.wasserstein_distance(positions, positions, window, reference) / 2
    assert normed_wasserstein(window, reference, positions, 2) == pytest.approx(expected)


def test_binary_metrics_agree_with_scikit_learn_under_heavy_ties() -> None:
    """2,000 rows with scores of one decimal."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 2_000)
    score = np.round(np.clip(0.5 + 0.1 * (2 * y - 1) + rng.normal(0, 0.2, 2_000), 0, 1), 1)
    assert compute("auc", "binary", y, score) == pytest.approx(sk.roc_auc_score(y, score), abs=1e-12)
    assert compute("average_precision", "binary", y, score) == pytest.approx(
        sk.average_precision_score(y, score), abs=1e-12
    )
    assert compute("log_loss", "binary", y, score) == pytest.approx(sk.log_loss(y, score), abs=1e-12)


def test_multiclass_metrics_agree_with_scikit_learn() -> None:
    """Macro F1 averages over classes that occur; class 4 never does."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, 4, 500)
    score = rng.dirichlet(np.ones(5), 500) * [1, 1, 1, 1, 0] + 0.2 * np.eye(5)[y]
    score /= score.sum(axis=1, keepdims=True)
    answer = score.argmax(axis=1)
    assert compute("macro_f1", "multiclass", y, score) == pytest.approx(sk.f1_score(y, answer, average="macro"))
    assert compute("accuracy", "multiclass", y, score) == pytest.approx(sk.accuracy_score(y, answer))
    assert compute("log_loss", "multiclass", y, score) == pytest.approx(sk.log_loss(y, score, labels=range(5)))


def test_chi_square_is_scipys() -> None:
    """Two samples of unequal size; a bin that neither has counts for nothing."""
    window, reference = np.array([12, 30, 8, 0]), np.array([500, 400, 100, 0])
    expected = stats.chi2_contingency(np.stack([window, reference])[:, :3], correction=False).statistic
    assert chi_square(window, reference) == pytest.approx(expected)


def test_fishers_limits_are_the_last_counts_with_half_the_level_beyond() -> None:
    """20 of 1,000 against 2,000 of 100,000, by SciPy's hypergeometric distribution."""
    low, high = share_limits(20, 1_000, 2_000, 100_000, 6e-5)
    exact = stats.hypergeom(101_000, 2_020, 1_000)
    assert exact.sf(high - 1) <= 3e-5 < exact.sf(high - 2)
    assert exact.cdf(low) <= 3e-5 < exact.cdf(low + 1)


def test_g_is_scipys_but_for_williams_correction() -> None:
    """Large counts, where the correction is under a thousandth."""
    window, reference = np.array([5_200, 2_400, 2_400]), np.array([50_000, 25_000, 25_000])
    g, limit = g_test(window, reference, 0.01, ordered=True)
    expected = stats.chi2_contingency(np.stack([window, reference]), correction=False, lambda_="log-likelihood")
    assert g == pytest.approx(expected.statistic, rel=1e-3)
    assert limit == pytest.approx(stats.chi2.isf(0.01, 2))


def test_the_root_of_ranks_is_near_wilcoxons_z() -> None:
    """1,000 normals moved by 0.2 against 100,000: SciPy's z is of the same side and size."""
    rng = np.random.default_rng(0)
    edges = stats.norm.ppf(np.arange(1, 20) / 20)
    a, b = rng.normal(0.2, 1, 1_000), rng.normal(size=100_000)
    counts = [np.bincount(np.searchsorted(edges, side), minlength=20) for side in (a, b)]
    z = stats.norm.isf(stats.mannwhitneyu(a, b, method="asymptotic").pvalue / 2)
    assert location_root(counts[0], counts[1]) == pytest.approx(z, rel=0.03)
    assert location_root(counts[0][::-1], counts[1][::-1]) == pytest.approx(-z, rel=0.03)

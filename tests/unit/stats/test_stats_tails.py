"""Tails for independent rows: worked values, SciPy's where it has them, and nothing claimed where nothing can differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from flyball.stats.tails import g_test, location_root, root_limit, share_limits


def test_fishers_limits_are_the_last_counts_with_half_the_level_beyond() -> None:
    """20 of 1,000 against 2,000 of 100,000, by SciPy's hypergeometric distribution."""
    low, high = share_limits(20, 1_000, 2_000, 100_000, 6e-5)
    exact = stats.hypergeom(101_000, 2_020, 1_000)
    assert exact.sf(high - 1) <= 3e-5 < exact.sf(high - 2)
    assert exact.cdf(low) <= 3e-5 < exact.cdf(low + 1)


def test_where_all_or_none_are_marked_no_count_is_significant() -> None:
    """Nothing was ever missing: nothing can be."""
    assert share_limits(0, 100, 0, 1_000, 0.05) == (-1, 101)
    assert share_limits(100, 100, 1_000, 1_000, 0.05) == (-1, 101)


def test_g_is_scipys_but_for_williams_correction() -> None:
    """Large counts, where the correction is under a thousandth."""
    window, reference = np.array([5_200, 2_400, 2_400]), np.array([50_000, 25_000, 25_000])
    g, limit = g_test(window, reference, 0.01, ordered=True)
    expected = stats.chi2_contingency(np.stack([window, reference]), correction=False, lambda_="log-likelihood")
    assert g == pytest.approx(expected.statistic, rel=1e-3)
    assert limit == pytest.approx(stats.chi2.isf(0.01, 2))


def test_bins_that_expect_few_rows_are_pooled() -> None:
    """60 rows over 20 bins expect 3 in each, so pairs are compared: 9 degrees of freedom."""
    _, limit = g_test(np.full(20, 3), np.full(20, 100), 0.01, ordered=True)
    assert limit == pytest.approx(stats.chi2.isf(0.01, 9))


def test_one_bin_has_nothing_to_differ_in() -> None:
    """A constant that stays, and an empty window."""
    assert g_test(np.array([0, 50, 0]), np.array([0, 900, 0]), 0.01, ordered=True)[0] == 0
    assert g_test(np.zeros(3, dtype=np.int64), np.array([10, 20, 30]), 0.01, ordered=True)[0] == 0


def test_the_root_of_ranks_is_near_wilcoxons_z() -> None:
    """1,000 normals moved by 0.2 against 100,000: SciPy's z is of the same side and size."""
    rng = np.random.default_rng(0)
    edges = stats.norm.ppf(np.arange(1, 20) / 20)
    a, b = rng.normal(0.2, 1, 1_000), rng.normal(size=100_000)
    counts = [np.bincount(np.searchsorted(edges, side), minlength=20) for side in (a, b)]
    z = stats.norm.isf(stats.mannwhitneyu(a, b, method="asymptotic").pvalue / 2)
    assert location_root(counts[0], counts[1]) == pytest.approx(z, rel=0.03)
    assert location_root(counts[0][::-1], counts[1][::-1]) == pytest.approx(-z, rel=0.03)


def test_the_bound_on_the_root_is_that_of_chernoff() -> None:
    """exp(-r * r / 2) on either side is the level: at 0.01, r = sqrt(2 ln 200)."""
    assert root_limit(0.01) == pytest.approx(math.sqrt(2 * math.log(200)))


def test_two_values_of_very_unequal_frequency_keep_the_level() -> None:
    """2 % ones among 50 rows, where a normal z of 3 has a chance of 1 in 60 instead of 1 in 740."""
    rng = np.random.default_rng(1)
    ones = rng.binomial(50, 0.02, 2_000)
    reference = np.array([98_000, 2_000])
    roots = {k: location_root(np.array([50 - k, k]), reference) for k in set(ones.tolist())}
    assert np.mean([abs(roots[k]) > root_limit(0.01) for k in ones.tolist()]) <= 0.01


def test_no_rows_and_no_variety_are_at_the_middle() -> None:
    """An empty side, and all rows in one bin."""
    some = np.array([0, 5, 0])
    assert location_root(np.zeros(3, dtype=np.int64), some) == location_root(some, some) == 0

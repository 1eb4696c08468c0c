"""Tails for independent rows: worked values, and nothing claimed where nothing can differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flyball.stats.tails import g_test, location_root, root_limit, share_limits


def test_where_all_or_none_are_marked_no_count_is_significant() -> None:
    """Nothing was ever missing: nothing can be."""
    assert share_limits(0, 100, 0, 1_000, 0.05) == (-1, 101)
    assert share_limits(100, 100, 1_000, 1_000, 0.05) == (-1, 101)


def test_bins_that_expect_few_rows_are_pooled() -> None:
    """60 rows over 20 bins expect 3 in each, so pairs are compared: 9 degrees of freedom."""
    _, limit = g_test(np.full(20, 3), np.full(20, 100), 0.01, ordered=True)
    assert limit == pytest.approx(21.665994)  # of 9 degrees of freedom, one in a hundred is beyond


def test_one_bin_has_nothing_to_differ_in() -> None:
    """A constant that stays, and an empty window."""
    assert g_test(np.array([0, 50, 0]), np.array([0, 900, 0]), 0.01, ordered=True)[0] == 0
    assert g_test(np.zeros(3, dtype=np.int64), np.array([10, 20, 30]), 0.01, ordered=True)[0] == 0


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

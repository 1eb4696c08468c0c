"""psi's tail where few independent values fall into a bin, against values drawn from such bins."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.stats.distances import psi
from flyball.stats.sparse import sparse_limit

MANY = 10_000_000
DRAWN = 200_000


def passed(bins: int, values: int, level: float) -> float:
    """How often samples of so many independent values pass the limit, in units of the level."""
    total = np.full(bins, MANY // bins)
    windows = np.random.default_rng(7).multinomial(values, np.full(bins, 1 / bins), size=DRAWN)
    return float((psi(windows, total) > sparse_limit(total, values, level)).mean()) / level


@pytest.mark.parametrize(("bins", "values"), [(20, 400), (20, 200), (20, 100), (10, 50), (5, 50)])
def test_the_limit_is_passed_about_as_often_as_stated(bins: int, values: int) -> None:
    """0.001 of 200,000 windows are 200: three standard errors above the 1.3 times that the formula may be wrong by."""
    assert 0.02 < passed(bins, values, 0.001) < 1.3 + 3 * 200**-0.5


def test_an_emptied_bin_is_within_it_where_ten_values_are_expected() -> None:
    """By chance it happens to one of 1,100 windows, so at a level of 0.0001 it is quiet."""
    window = np.array([0, *[10] * 9, *[11] * 10])
    total = np.full(20, MANY)
    assert sparse_limit(total, 200, 1e-4) > psi(window, total)


def test_where_bins_are_full_or_values_too_few_the_days_speak_for_themselves() -> None:
    total = np.full(20, 1_000)
    assert sparse_limit(total, 20 * 21, 1e-4) == 0.0
    assert sparse_limit(total, 9, 1e-4) == 0.0


def test_one_bin_never_differs() -> None:
    assert sparse_limit(np.array([1_000, 0]), 10, 1e-4) == 0.0


def test_whatever_the_counts_the_limit_is_a_number() -> None:
    """Without a warning: bins without rows, fewer values than bins, levels near and far."""
    random = np.random.default_rng(0)
    for _ in range(500):
        total = 1 + random.integers(0, 10 ** random.integers(1, 6), random.integers(1, 30))
        total[random.random(len(total)) < 0.3] = 0
        if total.sum():
            found = sparse_limit(total, 10 ** random.uniform(-2, 5), 10 ** random.uniform(-8, -1.5))
            assert np.isfinite(found)
            assert found >= 0

"""psi's tail where few independent values fall into a bin, against what it is of values that do fall so."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.stats.distances import psi, psi_parts
from flyball.stats.sparse import sparse_limit

MANY = 10_000_000
#: steps of psi up to the limit, and limits until its sum comes round to zero.
STEPS, TURN = 400, 8


def passed(bins: int, values: int, level: float) -> tuple[float, float]:
    """How often so many values in equal bins pass the limit, at least and at most, in units of the level.

    Bins' rows are independent and Poisson, given their sum. One bin's terms lie on a grid of (rows, psi), each rounded
    to a step; a Fourier transform adds up the bins, and the row of `values` is left. All terms rounded down, then up.
    """
    total = np.full(bins, MANY // bins)
    limit = sparse_limit(total, values, level)
    rows = np.arange(values + 1)
    term = psi_parts(np.stack([rows, values - rows, *[0 * rows] * (bins - 2)], axis=1), total)[:, 0] ** 2
    log_mass = rows * np.log(values / bins) - values / bins - np.cumsum(np.log(np.maximum(rows, 1)))
    # The sum of all rows comes round too, so far out that none does by chance.
    turn = 1 << int(np.ceil(np.log2(8 * np.sqrt(values))))
    found = []
    for rounded in (np.floor, np.ceil):
        place = np.minimum(rounded(term / limit * STEPS), 2 * STEPS).astype(int)
        grid = np.zeros((turn, TURN * STEPS))
        np.add.at(grid, (rows % turn, place), np.exp(log_mass))
        sums = np.fft.irfft2(np.fft.rfft2(grid) ** bins, grid.shape)[values % turn]
        found.append(float(sums[STEPS + 1 :].sum() / sums.sum() / level))
    return found[0], found[1]


@pytest.mark.parametrize(("bins", "values"), [(20, 400), (20, 200), (20, 100), (10, 50), (5, 50)])
def test_the_limit_is_passed_about_as_often_as_stated(bins: int, values: int) -> None:
    """Rather too seldom than too often: few values take few steps."""
    least, most = passed(bins, values, 0.001)
    assert least > 0.05
    assert most < 1.3


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

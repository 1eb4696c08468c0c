"""Distances on counts: values by hand, and the empty window."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flyball.stats.distances import (
    SMOOTHING,
    js_distance,
    js_divergence,
    ks,
    l_infinity,
    normed_wasserstein,
    psi,
    psi_parts,
)

HALF = np.array([50, 50])
SKEW = np.array([80, 20])
ALL = (psi, js_divergence, js_distance, ks, l_infinity)


def test_psi_is_its_value_by_hand() -> None:
    """0.3 ln(0.8/0.5) - 0.3 ln(0.2/0.5) = 0.4159 before smoothing; smoothing takes less than two per cent of it."""
    p, q = (0.8 + SMOOTHING) / (1 + 2 * SMOOTHING), 0.5
    assert psi(SKEW, HALF) == pytest.approx((p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q)))
    assert psi(SKEW, HALF) == pytest.approx(0.4159, rel=0.02)


def test_one_row_of_a_thousand_where_the_reference_has_none_hardly_moves_psi() -> None:
    """The rule for a single stray value: 0.0007, against 0.1 for 'some change'."""
    assert psi(np.array([999, 1]), np.array([100_000, 0])) == pytest.approx(0.0007, abs=0.0001)


def test_distributions_that_share_no_bin_are_at_the_far_end() -> None:
    """js, ks and l_infinity end at 1; psi is finite and large."""
    left, right = np.array([10, 0]), np.array([0, 70])
    assert (js_distance(left, right), ks(left, right), l_infinity(left, right)) == (1, 1, 1)
    assert 10 < psi(left, right) < 14


def test_l_infinity_is_the_largest_change_of_a_share() -> None:
    """0.5 to 0.8."""
    assert l_infinity(SKEW, HALF) == pytest.approx(0.3)


def test_a_reference_that_does_not_vary_makes_any_move_infinite() -> None:
    """And no move none."""
    positions = np.array([0.0, 1.0])
    assert normed_wasserstein(np.array([0, 5]), np.array([5, 0]), positions, 0) == math.inf
    assert normed_wasserstein(np.array([5, 0]), np.array([5, 0]), positions, 0) == 0


@pytest.mark.parametrize("measure", ALL)
def test_equal_shares_are_at_no_distance_whatever_the_rows(measure: object) -> None:
    """Ten times the rows in the same shares."""
    assert measure(SKEW, SKEW * 10) == pytest.approx(0, abs=1e-8)  # type: ignore[operator]


@pytest.mark.parametrize("measure", ALL)
def test_an_empty_window_is_at_no_known_distance(measure: object) -> None:
    """nan, never 0: nothing is not 'the same'."""
    assert math.isnan(measure(np.zeros(2, dtype=int), HALF))  # type: ignore[operator]
    assert math.isnan(measure(HALF, np.zeros(2, dtype=int)))  # type: ignore[operator]


@pytest.mark.parametrize("measure", ALL)
def test_many_windows_are_measured_at_once(measure: object) -> None:
    """Leading axes broadcast."""
    both = measure(np.stack([SKEW, HALF]), HALF)  # type: ignore[operator]
    assert both.tolist() == pytest.approx([float(measure(SKEW, HALF)), 0], abs=1e-8)  # type: ignore[operator]


def test_the_roots_of_psis_terms_add_up_to_it_in_squares() -> None:
    """Each with the sign of its bin's change."""
    window, reference = np.array([30, 50, 20]), np.array([20, 50, 30])
    parts = psi_parts(window, reference)
    assert np.sign(parts).tolist() == [1, 0, -1]
    assert (parts**2).sum() == pytest.approx(float(psi(window, reference)))

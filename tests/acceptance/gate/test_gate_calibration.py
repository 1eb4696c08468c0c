"""How often the gate is right, on simulated models: seeds fixed, tolerances derived from the stated rates."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.registry.slices import Scored, judge_slices
from flyball.stats.intervals import paired
from tests.unit.registry.test_registry_slices import FLOOR, scored

pytestmark = pytest.mark.slow


def test_an_exact_null_seldom_passes_as_better() -> None:
    """Each row's two scores swapped at random, 400 times: the interval lies above 0 in at most 20 (truth: 2.5 %, 10)."""
    random = np.random.default_rng(4)
    passed = 0
    for _ in range(400):
        y = (random.random(1_000) < 0.3).astype(float)
        shared, own, theirs = random.normal(size=(3, 1_000))
        pair = np.array([y + shared + 0.5 * own, y + shared + 0.5 * theirs])
        swap = random.random(1_000) < 0.5
        first, second = np.where(swap, pair, pair[::-1])
        passed += paired("auc", "binary", y, first, second, confidence=0.95).low > 0
    assert passed <= 20


def test_a_gain_of_a_hundredth_is_found_on_twenty_thousand_rows() -> None:
    """Scores that correlate by 0.9, AUC .760 to .770 nearly: passes as better in at least 80 of 100."""
    random = np.random.default_rng(9)
    passed = 0
    for _ in range(100):
        y = (random.random(20_000) < 0.2).astype(float)
        shared, own, theirs = random.normal(size=(3, 20_000))
        first = 1.045 * y + np.sqrt(0.9) * shared + np.sqrt(0.1) * own
        second = y + np.sqrt(0.9) * shared + np.sqrt(0.1) * theirs
        passed += paired("auc", "binary", y, first, second, confidence=0.95).low > 0
    assert passed >= 80


def test_a_slice_that_lost_blocks_and_is_named() -> None:
    """AUC about .76 to .71 on one of 20 slices of 1,000 rows: found in at least 95 % of 100."""
    random = np.random.default_rng(5)
    named = 0
    for number in range(100):
        lines = judge_slices(FLOOR, scored(random, worse=number % 20), 0.95)
        named += any(not line.passed and f"where station is s{number % 20:02}" in line.rule for line in lines)
    assert named >= 95


def test_slices_that_are_as_before_do_not_block() -> None:
    """Each row's two scores swapped at random, so neither model is better anywhere: 200 such, at most 10 blocked.

    Stated is one side of 95 %, 2.5 %, over all 20 slices together: 5 of 200, and 10 is 2.3 standard deviations above.
    """
    random = np.random.default_rng(16)
    blocked = 0
    for _ in range(200):
        rows = scored(random)
        assert rows.champion is not None
        swapped = random.random(len(rows.y)) < 0.5
        null = Scored(
            task="binary",
            y=rows.y,
            candidate=np.where(swapped, rows.champion, rows.candidate),
            champion=np.where(swapped, rows.candidate, rows.champion),
            clusters=None,
            slices=rows.slices,
        )
        blocked += not all(line.passed for line in judge_slices(FLOOR, null, 0.95))
    assert blocked <= 10

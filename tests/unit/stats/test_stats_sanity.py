"""How well one feature foretells the target alone, and how many rows are known already."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.stats.sanity import alone, overlap

Y = (np.arange(200) // 3 % 2).astype(float)


def test_a_copy_of_the_target_foretells_it_wholly() -> None:
    """As a number, turned round, as text, of a regression, of several classes."""
    assert alone("binary", Y, Y.astype(np.float32)) == 1
    assert alone("binary", Y, -Y) == 1
    assert alone("binary", Y, np.where(Y == 1, "paid", "not").astype(object)) == 1
    assert alone("regression", np.arange(200.0), 3 - 2 * np.arange(200.0)) == pytest.approx(1)
    classes = (np.arange(200) // 2 % 4).astype(float)
    assert alone("multiclass", classes, classes) == 1


def test_a_feature_that_says_nothing_is_near_what_chance_gives() -> None:
    """0.5 of an AUC, 0 of a squared correlation; an id of each row's own foretells nothing."""
    noise = np.random.default_rng(1).normal(size=(2, 2_000))
    y = (noise[0] > 0).astype(float)
    assert alone("binary", y, noise[1]) < 0.55
    assert alone("regression", noise[0], noise[1]) < 0.01
    ids = np.array([f"id{number}" for number in range(2_000)], dtype=object)
    assert alone("binary", y, ids) < 0.53
    assert alone("regression", noise[0], np.full(2_000, 3.0)) == 0


def test_where_rows_cannot_tell_nothing_is_suspected() -> None:
    """Too few rows, one class, fewer than ten of a class, one class with nearly all rows."""
    few = (np.arange(100) < 9).astype(float)
    for task, y in (("binary", Y[:40]), ("binary", np.zeros(100)), ("binary", few), ("multiclass", few)):
        assert np.isnan(alone(task, y, y))


def test_missing_values_stand_at_the_mean() -> None:
    """A copy with a tenth missing foretells a little less; a column of nothing else foretells nothing."""
    holes = np.where(np.arange(200) % 10 == 0, np.nan, Y)
    assert 0.99 < alone("binary", Y, holes) < 1
    assert alone("binary", Y, np.full(200, np.nan)) == 0.5


def test_overlap_counts_rows_and_what_is_natural() -> None:
    """Two of three are known; of five trained rows three have a twin."""
    digests = [np.array(values, dtype=np.uint64) for values in ([1, 2, 9], [1, 1, 1, 2, 3])]
    assert overlap(*digests) == (2, 0.6)
    assert overlap(digests[0], np.empty(0, dtype=np.uint64)) == (0, 0.0)

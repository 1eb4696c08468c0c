"""Rows in the order of their scores, and in bins of equal confidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.answers import MANY, answers_of, rank

Floats = npt.NDArray[np.float64]
COUNT = MANY + 17
RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize(
    "score",
    [
        RANDOM.random(COUNT),
        RANDOM.normal(size=COUNT) * 1e-300,
        np.round(RANDOM.random(COUNT), 2),
        np.where(RANDOM.random(COUNT) < 0.5, 0.0, -0.0),
        0.5 + RANDOM.integers(0, 9, COUNT) * 2.0**-52,
        np.concatenate((RANDOM.random(COUNT), -RANDOM.random(COUNT), 0.25 + RANDOM.random(COUNT) * 1e-12)),
    ],
    ids=["random", "tiny", "tied", "zeros", "last bits", "signs"],
)
def test_many_rows_are_ranked_as_a_stable_sort_ranks_them(score: Floats) -> None:
    """Scores that differ in their last bits alone too; equal ones in the rows' own order."""
    ranking = rank(score)
    assert ranking.order.tolist() == np.argsort(score, kind="stable").tolist()
    values, counts = np.unique(score, return_counts=True)
    assert ranking.lengths.tolist() == counts.tolist()
    assert score[ranking.order[ranking.starts]].tolist() == values.tolist()


def test_equal_confidences_share_the_bin_of_their_middle() -> None:
    """40 rows make 4 bins of 10: of 25 equal ones, ranks 5 to 29, the middle is 17, so bin 1; the last is bin 3."""
    score = np.array([0.01 * n for n in range(5)] + [0.5] * 25 + [0.6 + 0.01 * n for n in range(10)])
    bins = answers_of("binary", np.tile([0, 1], 20), score).bins
    assert bins.tolist() == [0] * 5 + [1] * 25 + [3] * 10
    shuffled = np.random.default_rng(0).permutation(40)
    assert answers_of("binary", np.tile([0, 1], 20), score[shuffled]).bins.tolist() == bins[shuffled].tolist()

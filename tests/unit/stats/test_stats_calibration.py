"""The expected calibration error: worked values, no bias where there is nothing, intervals that hold."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.intervals import estimate, paired
from flyball.stats.metrics import compute

Floats = npt.NDArray[np.float64]


def drawn(n: int, seed: int, off: float) -> tuple[Floats, Floats]:
    """Rows whose true probability is `off` above what is said."""
    random = np.random.default_rng(seed)
    said = random.uniform(0.1, 0.8, n)
    return (random.random(n) < said + off).astype(float), said


def test_a_gap_far_beyond_chance_is_its_plain_value() -> None:
    """100 rows said 0.2 of which 60 happen, 100 said 0.9 of which 80 do: (0.4 + 0.1) / 2, less nothing to six digits."""
    y = np.concatenate([np.arange(100) < 60, np.arange(100) < 80]).astype(float)
    said = np.repeat([0.2, 0.9], 100)
    assert compute("ece", "binary", y, said) == pytest.approx(0.25, abs=0.001)
    assert compute("ece", "binary", np.tile(y, 100), np.tile(said, 100)) == pytest.approx(0.25, abs=1e-6)


def test_the_order_of_rows_does_not_matter_even_with_equal_scores() -> None:
    """Equal probabilities share a bin, so nothing hangs on which of them comes first."""
    y, said = drawn(1_000, 1, 0.1)
    said = np.round(said, 1)
    mixed = np.random.default_rng(2).permutation(1_000)
    assert compute("ece", "binary", y[mixed], said[mixed]) == pytest.approx(compute("ece", "binary", y, said))


def test_what_chance_opens_is_taken_off() -> None:
    """A calibrated model on 3,000 rows: the plain sum of gaps is 0.022 on average, this at most 0.65 of it."""
    errors = [compute("ece", "binary", *drawn(3_000, seed, 0.0)) for seed in range(100)]
    plain = math.sqrt(2 / math.pi) * math.sqrt(0.2 / 200)
    assert 0 <= np.mean(errors) < 0.65 * plain


@pytest.mark.parametrize("off", [0.015, 0.03, 0.1])
def test_its_interval_holds_the_truth(off: float) -> None:
    """At least 92 % of 300 samples of 3,000 rows, for gaps of half a bin's standard error up to three."""
    found = [estimate("ece", "binary", *drawn(3_000, seed, off), confidence=0.95) for seed in range(300)]
    assert np.mean([item.low <= off <= item.high for item in found]) >= 0.92


def test_two_calibrated_models_are_not_told_apart() -> None:
    """Both say the truth, of halves of what is to be known: the paired interval holds 0 in at least 92 % of 300."""
    held = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        first, second = random.uniform(0.1, 0.4, (2, 2_000))
        y = (random.random(2_000) < first + second).astype(float)
        apart = paired("ece", "binary", y, first + 0.25, second + 0.25, confidence=0.95)
        held += apart.low <= 0 <= apart.high
    assert held >= 276


def test_a_better_calibrated_model_is_told_from_a_worse_one() -> None:
    """Paired on the same rows: 0 less 0.1; with itself exactly nothing."""
    y, said = drawn(5_000, 3, 0.0)
    apart = paired("ece", "binary", y, said, said + 0.1, confidence=0.95)
    assert apart.high < -0.05
    assert paired("ece", "binary", y, said, said, confidence=0.95).high == 0


def test_several_classes_are_judged_by_the_one_that_is_answered() -> None:
    """Said 0.8, right 60 of 100 times: 0.2 off. Brier: 60 rows with 0.04 + 0.01 + 0.01, 40 with 0.64 + 0.81 + 0.01."""
    y = np.where(np.arange(100) < 60, 0.0, 1.0)
    said = np.tile([0.8, 0.1, 0.1], (100, 1))
    assert compute("ece", "multiclass", y, said) == pytest.approx(0.2, abs=0.001)
    assert compute("brier", "multiclass", y, said) == pytest.approx(0.6 * 0.06 + 0.4 * 1.46)


def test_few_rows_are_one_bin() -> None:
    """Nine rows said 0.5, of which three happen: |3/9 - 0.5|, less some for chance; one row cannot be debiased."""
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert 0 < compute("ece", "binary", y, np.full(9, 0.5)) < 1 / 6
    assert compute("ece", "binary", [1], [0.75]) == 0.25

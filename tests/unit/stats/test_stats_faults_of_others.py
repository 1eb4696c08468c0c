"""Faults seen in other drift monitors, one test each: Flyball must not have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.counting import profile_window
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import Reference

Column = npt.NDArray[Any]


def learnt(column: Column, *, days: int | None = None) -> Reference:
    """One column x; by `days` equal days, else rows are independent."""
    kind = "category" if column.dtype == object else "number"
    blocks = None if days is None else np.repeat(np.arange(days), len(column) // days)
    return fit_reference({"x": column}, {"x": kind}, blocks)


def seen(reference: Reference, column: Any) -> DriftVerdict:
    return judge(reference, profile_window(reference, {"x": column}), false_alarms=0.01)


def levels(rng: np.random.Generator, many: int, n: int) -> Column:
    return rng.choice(np.array([f"level {number}" for number in range(many)], dtype=object), n)


def test_a_fixed_threshold_deaf_to_a_share_that_grows_from_ten_to_thirteen_per_cent() -> None:
    """10,000 rows: psi is 0.009, a tenth of the rule of thumb, and the change ten standard errors."""
    reference = learnt(np.repeat(np.array(["a", "b"], dtype=object), [10_000, 90_000]))
    found = seen(reference, np.repeat(np.array(["a", "b"], dtype=object), [1_300, 8_700]))
    assert found.verdict == "drift"
    assert found.features[0].statistics["psi"].value == pytest.approx(0.0088, abs=2e-4)


def test_a_fixed_threshold_that_alarms_on_every_quiet_column_of_a_thousand_levels() -> None:
    """2,000 rows of levels with ten in a hundred thousand: two rows a level, none is like the last."""
    rng = np.random.default_rng(1)
    reference = learnt(levels(rng, 1_000, 10_000))
    assert {seen(reference, levels(rng, 1_000, 2_000)).verdict for _ in range(10)} == {"steady"}


def test_equal_width_bins_blind_to_a_heavy_tail_ten_times_as_heavy() -> None:
    """Pareto of index 1.5: nearly all rows lie in the first of ten bins of equal width, before and after."""
    rng = np.random.default_rng(2)
    reference = learnt(rng.pareto(1.5, 60_000), days=60)
    found = seen(reference, 10 * rng.pareto(1.5, 1_000))
    assert found.features[0].statistics["psi"].alarm
    assert found.features[0].statistics["location"].alarm


def test_a_reference_taken_as_exact() -> None:
    """Fifty levels, 1,000 rows known and 5,000 seen: what differs is the reference's own chance. None of twenty alarms."""
    rng = np.random.default_rng(3)
    found = {seen(learnt(levels(rng, 50, 1_000)), levels(rng, 50, 5_000)).verdict for _ in range(20)}
    assert found == {"steady"}


@pytest.mark.parametrize("rows", [100, 1_000, 20_000])
def test_a_threshold_valid_for_one_size_of_batch(rows: int) -> None:
    """Days of 1,000 rows known: quiet windows of any other size are quiet, and twice the share of a level is found in all."""
    rng = np.random.default_rng(4)
    reference = learnt(rng.normal(size=30_000), days=30)
    assert {seen(reference, rng.normal(size=rows)).verdict for _ in range(10)} == {"steady"}
    assert seen(reference, rng.normal(1, 1, size=rows)).verdict == "drift"


def test_a_nan_that_hides_a_shift_of_three_sd() -> None:
    """One value in a thousand is no number: it is missing, and the others are judged."""
    rng = np.random.default_rng(5)
    reference = learnt(rng.normal(size=30_000), days=30)
    column = rng.normal(3, 1, size=1_000)
    column[7] = np.nan
    found = seen(reference, column).features[0]
    assert (found.verdict, found.missing) == ("drift", 1)
    assert np.isfinite([one.value for one in found.statistics.values()]).all()


def test_half_of_the_values_missing_called_no_drift() -> None:
    """None were; those that are left are as they were."""
    rng = np.random.default_rng(6)
    reference = learnt(rng.normal(size=30_000), days=30)
    column = rng.normal(size=1_000)
    column[::2] = np.nan
    found = seen(reference, column).features[0]
    assert [name for name, one in found.statistics.items() if one.alarm] == ["missing"]


def test_one_unseen_category_among_five_thousand_rows_called_drift() -> None:
    """It is counted, and a fiftieth of a per cent is no change that matters."""
    reference = learnt(np.repeat(np.array(["a", "b"], dtype=object), [30_000, 30_000]), days=None)
    column = np.repeat(np.array(["a", "b", "c"], dtype=object), [2_500, 2_499, 1])
    found = seen(reference, column).features[0]
    assert (found.verdict, found.unseen, found.unseen_share) == ("steady", 1, 0.0002)


def test_psi_bins_that_move_with_each_days_data() -> None:
    """The reference's quantiles are the borders of every window: moved rows leave their bins, and psi is no smaller for it."""
    rng = np.random.default_rng(7)
    reference = learnt(rng.normal(size=20_000))
    window = profile_window(reference, {"x": rng.normal(5, 1, size=1_000)})
    assert window.features["x"].bins is reference.features["x"].bins
    psi = judge(reference, window, false_alarms=0.01).features[0].statistics["psi"].value
    assert psi > 5


def test_a_hundred_thousand_categories() -> None:
    """As good as every row is new: nothing can be told of single levels, and the column is steady; that half of its values
    are missing is found all the same.
    """
    rng = np.random.default_rng(8)
    names = np.arange(100_000).astype(str).astype(object)
    reference, window = learnt(names), rng.choice(names, 2_000)
    assert seen(reference, window).verdict == "steady"
    window[:1_000] = ""
    found = seen(reference, window).features[0]
    assert (found.missing, found.statistics["missing"].alarm, found.unseen) == (1_000, True, 0)


def test_an_empty_window_called_no_drift() -> None:
    """Nothing is not 'the same'."""
    for column in (np.array([]), np.full(1_000, np.nan)):
        found = seen(learnt(np.arange(1_000.0)), column)
        assert "location" not in found.features[0].statistics
    assert seen(learnt(np.arange(1_000.0)), np.array([])).verdict == "cannot_judge"


def test_a_constant_that_divides_by_zero() -> None:
    """As it was it is steady; one that begins to vary is drift, and every figure can be written down."""
    reference = learnt(np.full(30_000, 7.0), days=30)
    assert seen(reference, np.full(1_000, 7.0)).verdict == "steady"
    found = seen(reference, np.linspace(6, 9, 1_000)).features[0]
    assert found.verdict == "drift"
    assert np.isfinite(
        [[one.value, one.threshold, one.effect, one.strength] for one in found.statistics.values()]
    ).all()
    assert found.statistics["normed_wasserstein"].value == 0 or found.statistics["normed_wasserstein"].value == 1e6


def test_an_infinity_that_becomes_the_mean() -> None:
    """It is missing, and told as what is no value of a number: as text is."""
    rng = np.random.default_rng(9)
    reference = learnt(rng.normal(size=30_000), days=30)
    column = rng.normal(size=1_000).astype(object)
    column[:3] = [np.inf, -np.inf, "n/a"]
    column[3] = None
    window = profile_window(reference, {"x": column})
    found = judge(reference, window, false_alarms=0.01).features[0]
    assert (found.verdict, found.missing, found.invalid) == ("steady", 4, 3)
    assert abs(window.features["x"].mean) < 0.2


def test_rows_beyond_the_range_are_counted() -> None:
    """Range violations, below and above the reference's 0 to 999."""
    found = seen(learnt(np.arange(1_000.0)), np.arange(-10.0, 1_020.0)).features[0]
    assert (found.rows, found.below, found.above) == (1_030, 10, 20)

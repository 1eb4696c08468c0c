"""What is broken in a window: worked cases, one fault at a time, against one reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from flyball.monitor.faults import broken
from flyball.stats.counting import profile_window
from flyball.stats.drift import judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import Reference

DAYS, ROWS = 30, 200
Columns = dict[str, npt.NDArray[np.generic]]


def columns(rows: int, seed: int) -> Columns:
    """A temperature, a weight, an amount that is mostly 0, an origin."""
    random = np.random.default_rng(seed)
    return {
        "temp": random.normal(10, 4, rows),
        "kilograms": random.normal(70, 10, rows),
        "rain": np.where(random.random(rows) < 0.1, random.random(rows), 0.0),
        "origin": random.choice(np.array(["JFK", "LGA", "EWR"], dtype=object), rows),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    kinds = {"temp": "number", "kilograms": "number", "rain": "number", "origin": "category"}
    return fit_reference(columns(DAYS * ROWS, seed=1), kinds, np.repeat(np.arange(DAYS), ROWS))


def found(reference: Reference, changed: Mapping[str, npt.NDArray[np.generic]]) -> list[tuple[str, str, str]]:
    window = {**columns(500, seed=2), **changed}
    verdict = judge(reference, profile_window(reference, window), false_alarms=0.01)
    return [(item.feature, item.fault, item.why) for item in broken(reference, window, verdict)]


def test_a_quiet_window_is_whole(reference: Reference) -> None:
    """Nothing alarms, nothing is looked for."""
    assert found(reference, {}) == []


def test_a_shift_of_the_world_is_no_fault(reference: Reference) -> None:
    """Eight degrees warmer, and twice as heavy, is drift."""
    random = np.random.default_rng(3)
    assert found(reference, {"temp": random.normal(18, 4, 500), "kilograms": random.normal(140, 20, 500)}) == []


def test_nulls_are_told_with_their_shares(reference: Reference) -> None:
    """200 of 500 rows without a value where training had all."""
    temp = columns(500, seed=2)["temp"].copy()
    temp[:200] = np.nan
    assert found(reference, {"temp": temp}) == [("temp", "nulls", "temp is missing in 40.0% of rows, usually 0.0%")]


def test_a_column_without_values_has_left_the_schema(reference: Reference) -> None:
    """All rows without a value: not an ordinary gap."""
    why = "temp has left the rows: it is missing in all of them"
    assert found(reference, {"temp": np.full(500, np.nan)}) == [("temp", "schema", why)]


@pytest.mark.parametrize(
    ("factor", "words"), [(1_000, "1000 times"), (0.001, "a 1000th of"), (60, "60 times"), (0.01, "a 100th of")]
)
def test_another_unit_is_told_by_spread_and_middle(reference: Reference, factor: float, words: str) -> None:
    """Grams for kilograms, and back: both the spread and the median move by the factor."""
    weights = columns(500, seed=2)["kilograms"].astype(np.float64) * factor
    why = f"kilograms is about {words} what it was in training: another unit"
    assert found(reference, {"kilograms": weights}) == [("kilograms", "unit", why)]


def test_a_far_shift_without_a_change_of_spread_is_no_unit(reference: Reference) -> None:
    """A thousand kilograms more each: the spread is as it was."""
    weights = columns(500, seed=2)["kilograms"].astype(np.float64) + 1_000
    assert found(reference, {"kilograms": weights}) == []


def test_a_frozen_column_is_told_with_its_value(reference: Reference) -> None:
    """One value in all rows; training never stood still for a day. Text as well as numbers."""
    assert found(reference, {"temp": np.full(500, 12.5)}) == [("temp", "frozen", "temp stands still at 12.5")]
    origins = np.full(500, "LGA", dtype=object)
    assert found(reference, {"origin": origins}) == [("origin", "frozen", "origin stands still at LGA")]


def test_a_column_that_stood_still_for_days_in_training_may(reference: Reference) -> None:
    """A promotion that is off on most days: all zeros alarm nobody, all ones are drift and no fault."""
    random = np.random.default_rng(4)
    on = np.repeat(np.arange(DAYS) % 10 == 9, ROWS).astype(np.float64)
    still = fit_reference(
        {"on": on, "x": random.normal(size=len(on))}, {"on": "number", "x": "number"}, np.repeat(np.arange(DAYS), ROWS)
    )
    window = {"on": np.ones(500), "x": random.normal(size=500)}
    verdict = judge(still, profile_window(still, window), false_alarms=0.01)
    assert broken(still, window, verdict) == ()


def test_a_new_category_is_named(reference: Reference) -> None:
    """A fifth of the rows come from an airport that training never saw."""
    origins = columns(500, seed=2)["origin"].copy()
    origins[::5] = "SWF"
    (one,) = found(reference, {"origin": origins})
    assert one == ("origin", "new_category", "origin has 'SWF' in 20.0% of rows, which training never saw")


def test_a_day_that_is_spread_as_days_are_is_no_unit() -> None:
    """Weather: a day's values lie close together wherever they lie, and a cold one's near 0."""
    random = np.random.default_rng(4)
    middles = np.repeat(random.normal(40, 8, 60), 100)
    learnt = fit_reference({"dewp": random.normal(middles, 0.8)}, {"dewp": "number"}, np.repeat(np.arange(60), 100))
    window = {"dewp": random.normal(4, 0.8, 500)}
    verdict = judge(learnt, profile_window(learnt, window), false_alarms=0.01)
    assert verdict.alarming == ("dewp",)
    assert broken(learnt, window, verdict) == ()

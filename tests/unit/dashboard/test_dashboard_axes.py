"""Scales and ticks."""

from __future__ import annotations

from datetime import date

import pytest

from flyball.dashboard.axes import Scale, month_ticks, nice_ticks, value_range
from flyball.dashboard.records import DayMetric


def day(value: float, low: float | None, high: float | None) -> DayMetric:
    return DayMetric(day=date(2013, 3, 1), version=1, value=value, low=low, high=high, rows=10, verdict=None)


def test_a_scale_maps_its_ends_and_its_middle() -> None:
    """[0, 10] onto [100, 0]: 0 is 100, 5 is 50, 10 is 0."""
    scale = Scale(0, 10, 100, 0)
    assert [scale(0), scale(5), scale(10)] == [100, 50, 0]


def test_a_range_of_no_width_maps_to_the_middle() -> None:
    """One single day has a place."""
    assert Scale(3, 3, 0, 100)(3) == 50


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.61, 0.78, [0.65, 0.7, 0.75]),
        (0.0, 1.0, [0.0, 0.5, 1.0]),
        (-30, 70, [0, 50]),
        (1200, 5100, [2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low: float, high: float, ticks: list[float]) -> None:
    """1, 2 or 5 times a power of ten apart."""
    assert nice_ticks(low, high, 4) == ticks


def test_the_range_holds_every_value_and_the_usual_intervals() -> None:
    """Of 100 intervals the two widest ends are cut; a value never is."""
    days = [day(0.7, 0.65, 0.75) for _ in range(98)] + [day(0.7, 0.0, 1.0)] * 2 + [day(0.9, None, None)]
    assert value_range(days) == (0.65, 0.9)


def test_a_constant_series_still_has_a_range() -> None:
    """Half a unit to each side."""
    assert value_range([day(0.7, None, None)]) == (pytest.approx(0.2), pytest.approx(1.2))


def test_a_year_is_labelled_by_month_with_the_year_at_its_start() -> None:
    """From mid-November to March: the first tick and January carry the year."""
    names = [name for _, name in month_ticks(date(2013, 11, 15), date(2014, 3, 2))]
    assert names == ["Dec 2013", "Jan 2014", "Feb", "Mar"]


def test_a_few_days_are_labelled_by_day() -> None:
    """Twelve days: every second one."""
    ticks = month_ticks(date(2013, 3, 1), date(2013, 3, 13))
    assert ticks[:2] == [(date(2013, 3, 1), "Mar 1"), (date(2013, 3, 3), "Mar 3")]
    assert len(ticks) == 7


def test_a_single_day_has_one_label() -> None:
    """No span, one tick."""
    assert month_ticks(date(2013, 3, 1), date(2013, 3, 1)) == [(date(2013, 3, 1), "Mar 1")]


def test_many_years_are_labelled_by_year() -> None:
    """Beyond three years only January is named."""
    names = [name for _, name in month_ticks(date(2010, 6, 1), date(2014, 6, 1))]
    assert names == ["Jan 2011", "Jan 2012", "Jan 2013", "Jan 2014"]

"""Where a window lies in the day and the week, and which blocks of the reference do alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from flyball.stats.blocks import ANYWHERE, DAY_S, Cut, block_numbers, cut_for, place_of
from flyball.stats.quiet import explained

HOUR_S = 3_600
NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("window_s", "block_s"),
    [(7 * DAY_S, DAY_S), (DAY_S, DAY_S), (DAY_S // 2, DAY_S // 2), (7 * HOUR_S, 6 * HOUR_S), (300, HOUR_S)],
)
def test_a_reference_is_cut_as_its_windows_are(window_s: float, block_s: int) -> None:
    """Into even parts of a day no longer than a window, of an hour at least."""
    assert cut_for(window_s, NEW_YORK) == Cut(block_s=block_s, timezone=NEW_YORK)


def test_days_are_local_and_shorter_blocks_count_since_1970() -> None:
    """04:00 UTC on 2 January 1970 is still the first in New York."""
    utc = np.array([28 * HOUR_S * 1_000_000])
    local = utc - 5 * HOUR_S * 1_000_000
    assert block_numbers(utc, local, cut_for(DAY_S, NEW_YORK)).tolist() == [0]
    assert block_numbers(utc, local, cut_for(6 * HOUR_S, NEW_YORK)).tolist() == [4]


def test_a_day_lies_on_its_weekday() -> None:
    """5 January 2013 was a Saturday, 15,710 days after a Thursday."""
    start = datetime(2013, 1, 5, 5, tzinfo=UTC)
    found = place_of((15_709, 15_710, 15_717), cut_for(DAY_S, NEW_YORK), start, start + timedelta(days=1))
    assert found.hours is None
    assert found.weekday == 5
    assert found.weekdays is not None
    assert found.weekdays == (4, 5, 5)


def test_a_half_day_lies_among_the_same_halves() -> None:
    """From noon UTC; the middle of the first half of a UTC day, 06:00, is one o'clock that night in New York."""
    start = datetime(2013, 1, 5, 12, tzinfo=UTC)
    found = place_of((31_420, 31_421, 31_422), cut_for(DAY_S / 2, NEW_YORK), start, start + timedelta(hours=12))
    assert found.hours is not None
    assert found.hours == (False, True, False)
    assert found.weekdays is not None
    assert (found.weekday, found.weekdays) == (5, (5, 5, 6))


def test_a_window_that_has_no_one_place_lies_anywhere() -> None:
    """A week has every weekday; a day among half days has every hour; of a reference without a clock nothing is known."""
    start, week = datetime(2013, 1, 7, 5, tzinfo=UTC), timedelta(days=7)
    assert place_of((1, 2), Cut(), start, start + week).weekday is None
    assert place_of((1, 2), cut_for(DAY_S / 2, "UTC"), start, start + timedelta(days=1)) is ANYWHERE
    assert place_of((1, 2), None, start, start + week) is ANYWHERE


def test_what_weekdays_explain() -> None:
    """All of it, none of it; and of 0 and 1, 4 and 5 by hand: squares within 1, over all 17."""
    groups = np.array([0, 0, 1, 1])
    assert explained(np.array([[1.0], [1.0], [3.0], [3.0]]), groups) == 1
    assert explained(np.ones((4, 1)), groups) == 0
    assert explained(np.array([[0.0], [1.0], [4.0], [5.0]]), groups) == pytest.approx(1 - (1 / 2) / (17 / 3))

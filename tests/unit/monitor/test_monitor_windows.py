"""Which windows are due: borders, delays, clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from flyball.monitor.windows import DAY_S, due_windows, window_name

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_days_start_at_local_midnight() -> None:
    """The first window is the day in which there was first something to judge."""
    got = due_windows(utc("2013-03-01T15:00"), None, utc("2013-03-03T04:59"), DAY_S, 0, NEW_YORK)
    assert got == [(utc("2013-03-01T05:00"), utc("2013-03-02T05:00"))]


def test_a_window_is_due_at_the_moment_it_ends_and_not_before() -> None:
    """Closed windows only."""
    first, end = utc("2013-03-01T00:00"), utc("2013-03-02T00:00")
    assert due_windows(first, None, end - timedelta(microseconds=1), DAY_S, 0, "UTC") == []
    assert due_windows(first, None, end, DAY_S, 0, "UTC") == [(first, end)]


def test_a_delay_keeps_a_window_waiting_for_its_labels() -> None:
    """Two days for labels: on the 5th the 2nd is the newest due."""
    got = due_windows(utc("2013-03-01T00:00"), None, utc("2013-03-05T00:00"), DAY_S, 2 * DAY_S, "UTC")
    assert [window_name(window) for window in got] == ["2013-03-01", "2013-03-02"]


def test_what_was_judged_is_not_due_again() -> None:
    """Going on where the newest judged window ended."""
    got = due_windows(utc("2013-03-01T00:00"), utc("2013-03-03T00:00"), utc("2013-03-05T00:00"), DAY_S, 0, "UTC")
    assert [window_name(window) for window in got] == ["2013-03-03", "2013-03-04"]


def test_days_on_which_clocks_change_have_23_and_25_hours() -> None:
    """New York, 10 March and 3 November 2013; no hour is judged twice or never."""
    got = due_windows(utc("2013-03-01T12:00"), None, utc("2014-01-01T12:00"), DAY_S, 0, NEW_YORK)
    hours = {window_name(window): (window[1] - window[0]) / timedelta(hours=1) for window in got}
    assert (hours["2013-03-10"], hours["2013-11-03"]) == (23, 25)
    assert sorted(set(hours.values())) == [23, 24, 25]
    assert all(one[1] == two[0] for one, two in pairwise(got))
    assert len(hours) == len(got) == 306


def test_weeks_end_on_sundays() -> None:
    """Wednesday 6 March 2013 lies in the week of Monday the 4th."""
    got = due_windows(utc("2013-03-06T12:00"), None, utc("2013-03-20T00:00"), 7 * DAY_S, 0, "UTC")
    assert [window_name(window) for window in got] == ["2013-03-04", "2013-03-11"]


def test_hours_are_named_by_their_first_minute() -> None:
    """Windows that are no whole days ignore the time zone."""
    got = due_windows(utc("2013-03-01T10:20"), None, utc("2013-03-01T12:00"), 3600, 0, NEW_YORK)
    assert [window_name(window) for window in got] == ["2013-03-01T10:00Z", "2013-03-01T11:00Z"]


def test_after_a_change_of_settings_windows_go_on_without_a_gap() -> None:
    """Six-hour windows until noon, then days: the rest of that day is a window."""
    got = due_windows(utc("2013-03-01T00:00"), utc("2013-03-01T12:00"), utc("2013-03-03T00:00"), DAY_S, 0, "UTC")
    assert got[0] == (utc("2013-03-01T12:00"), utc("2013-03-02T00:00"))
    assert got[1] == (utc("2013-03-02T00:00"), utc("2013-03-03T00:00"))


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles", "UTC"])
def test_a_day_is_named_by_its_local_date(timezone: str) -> None:
    """Midnight in Berlin is still yesterday in UTC."""
    got = due_windows(utc("2013-07-04T12:00"), None, utc("2013-07-06T12:00"), DAY_S, 0, timezone)
    assert window_name(got[0]) == "2013-07-04"


def test_windows_of_seconds_have_names_of_their_own() -> None:
    """Three in a minute are three; those of minutes are named as they were."""
    at = datetime(2013, 3, 1, 12, tzinfo=UTC)
    names = [window_name((at + timedelta(seconds=s), at + timedelta(seconds=s + 20))) for s in (0, 20, 40)]
    assert names == ["2013-03-01T12:00:00Z", "2013-03-01T12:00:20Z", "2013-03-01T12:00:40Z"]
    assert window_name((at, at + timedelta(minutes=1))) == "2013-03-01T12:00Z"

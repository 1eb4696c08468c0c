"""Numbers, times and names as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from flyball.dashboard import words


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.69449, "0.694"), (-0.0021, "-0.002"), (12.345, "12.35"), (18_203.9, "18,204"), (None, words.NONE)],
)
def test_a_figure_has_the_digits_one_can_use(value: float | None, written: str) -> None:
    """A thousandth below ten, four digits below a thousand, whole above."""
    assert words.figure(value) == written


def test_a_difference_shows_its_sign() -> None:
    """Plus, and a true minus."""
    assert words.signed(0.033) == "+0.033"
    assert words.signed(-0.003) == f"{words.MINUS}0.003"


def test_an_interval_that_cannot_be_judged_is_not_written() -> None:
    """Both ends or nothing."""
    assert words.interval(0.681, 0.707) == "[0.681, 0.707]"
    assert words.interval(None, 0.707) == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.21, "0.21 ms"), (2.0, "2.0 ms"), (9.96, "10.0 ms"), (14.4, "14 ms"), (1234.0, "1.2 s"), (None, words.NONE)],
)
def test_a_latency_carries_its_unit(value: float | None, written: str) -> None:
    """Milliseconds, then seconds."""
    assert words.milliseconds(value) == written


def test_a_time_is_written_in_utc() -> None:
    """Whatever zone it came in."""
    zone = timezone(timedelta(hours=2))
    assert words.when(datetime(2013, 7, 8, 7, tzinfo=zone)) == "2013-07-08 05:00 UTC"
    assert words.day(datetime(2013, 7, 8, tzinfo=UTC)) == "2013-07-08"


def test_only_a_run_is_shortened() -> None:
    """32 hex digits to 12; a version or a day stays."""
    assert words.subject("0123456789abcdef0123456789abcdef") == "0123456789ab"
    assert words.subject("v7") == "v7"


def test_names_are_written_as_people_write_them() -> None:
    """AUC, not auc."""
    assert [words.metric_name(name) for name in ("auc", "average_precision")] == ["AUC", "average precision"]
    assert words.verdict_name("cannot_judge") == "cannot judge"

"""Durations and rates as written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.project.durations import parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("15m", 900.0),
        ("36h", 129_600.0),
        ("1.5h", 5_400.0),
        ("7d", 604_800.0),
        ("1w", 604_800.0),
        ("0d", 0.0),
        ("36525d", 3_155_760_000.0),
    ],
)
def test_a_duration_is_its_amount_times_its_unit(text: str, seconds: float) -> None:
    """A day is 86,400 seconds, a week seven of them."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-7d", "7D", "1y", "7d ", "1e3s", ".5h", "\u0667d"])
def test_what_is_not_a_duration_is_told_what_one_is(text: str) -> None:
    """Months and years are no units, because their lengths differ."""
    with pytest.raises(
        ValueError, match=r'^needs a number and a unit \(s, m, h, d, w\), such as "90s", "36h" or "7d"$'
    ):
        parse_duration(text)


def test_a_duration_ends_at_a_century() -> None:
    """Whatever is added to a date must still be a date."""
    with pytest.raises(ValueError, match=r'^needs at most a century \("36525d"\)$'):
        parse_duration("36526d")


def test_a_rate_is_a_count_and_its_seconds() -> None:
    """ "1/100d" is one in 8,640,000 seconds."""
    assert parse_rate("1/100d") == (1, 8_640_000.0)
    assert parse_rate("20/365d") == (20, 31_536_000.0)


@pytest.mark.parametrize("text", ["0/100d", "1/0d"])
def test_a_rate_is_above_zero(text: str) -> None:
    """Never, and infinitely often, are not rates."""
    with pytest.raises(ValueError, match="needs a count and a duration above 0"):
        parse_rate(text)


@given(st.text())
def test_any_text_is_a_rate_or_a_value_error(text: str) -> None:
    """No text ends in any other error."""
    try:
        count, seconds = parse_rate(text)
    except ValueError:
        return
    assert count > 0
    assert seconds > 0

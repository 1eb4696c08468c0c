"""Tables, times, estimates, JSON: how answers look."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner

from flyball.cli.options import as_settings, as_span, as_time
from flyball.cli.show import WIDEST, cell, fields, put, span, table
from flyball.stats.estimate import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.71239, "0.7124"),
        (date(2013, 3, 1), "2013-03-01"),
        (datetime(2013, 8, 1, 14, 0, tzinfo=timezone(timedelta(hours=2))), "2013-08-01 12:00Z"),
        (Estimate(value=0.7123, low=0.7, high=0.72, rows=9), "0.712 [0.700, 0.720]"),
        (Estimate(value=1234.5, low=99, high=1e6, rows=9), "1,234 [99.000, 1e+06]"),
        ("red \x1b[31m\nline", "red  [31m line"),
    ],
)
def test_a_value_is_shown_as_a_person_reads_it(value: object, text: str) -> None:
    """Times in UTC to the minute, numbers with separators, and no control characters from anybody's text."""
    assert cell(value) == text


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    """Columns are two blanks apart; a column is numeric when every value in it is."""
    text = table(("NAME", "ROWS"), [("a", 5), ("long", 12000), ("b", None)])
    assert text.splitlines() == ["NAME    ROWS", "a          5", "long  12,000", "b          -"]


def test_a_table_without_rows_says_so() -> None:
    """An empty answer names what would fill it, not a bare head."""
    assert table(("NAME",), [], empty="none yet; `flyball run`") == "none yet; `flyball run`"


def test_a_long_cell_is_cut_and_marked() -> None:
    """One endless reason does not break every line."""
    line = table(("WHY",), [("x" * 500,)]).splitlines()[1]
    assert (len(line), line[-1]) == (WIDEST, "…")


def test_fields_are_aligned() -> None:
    """Names and values, one a line."""
    assert fields([("a", 1), ("long", None)]) == "a     1\nlong  -"


def test_an_open_window_shows_which_end_is_open() -> None:
    """A run without a start took everything before its end."""
    assert span(None, datetime(2013, 3, 1, tzinfo=UTC)) == "… .. 2013-03-01 00:00Z"


def test_json_is_one_document_and_nothing_else() -> None:
    """With --json the text for people is not printed."""

    @click.command()
    def answer() -> None:
        put({"at": datetime(2013, 3, 1, tzinfo=UTC)}, "for people", as_json=True)

    assert CliRunner().invoke(answer).stdout == '{\n  "at": "2013-03-01T00:00:00+00:00"\n}\n'


def test_a_window_is_two_times_either_open() -> None:
    """`A..B` is read as A <= t < B in UTC."""
    start, end = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)
    assert as_span(*_nobody(), "2013-01-01..2013-03-01") == (start, end)
    assert as_span(*_nobody(), "..2013-03-01") == (None, end)
    assert as_span(*_nobody(), "2013-01-01..") == (start, None)
    assert as_span(*_nobody(), None) == (None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2013-01-01", "write A..B"),
        ("2013-03-01..2013-01-01", "ends before it begins"),
        ("yesterday..", "'yesterday' is not a time"),
        ("2013-01-01T12:00..", "has no time zone"),
    ],
)
def test_a_window_that_is_none_is_refused_with_the_mend(text: str, said: str) -> None:
    """What cannot be read is never guessed at."""
    with pytest.raises(click.BadParameter, match=said):
        as_span(*_nobody(), text)


def test_a_time_without_a_zone_is_refused() -> None:
    """Local time is never assumed."""
    with pytest.raises(click.BadParameter, match="no time zone; give one, for example 2013-08-01T12:00Z"):
        as_time(*_nobody(), "2013-08-01T12:00")


def test_a_setting_is_json_where_it_is_json() -> None:
    """Numbers, booleans and lists keep their type; everything else is text."""
    texts = ("trees=200", "rate=0.1", "deep=true", "name=lgbm", "note=a=b", "empty=")
    known = {"trees": 200, "rate": 0.1, "deep": True, "name": "lgbm", "note": "a=b", "empty": ""}
    assert as_settings(*_nobody(), texts) == known
    with pytest.raises(click.BadParameter, match="write NAME=VALUE"):
        as_settings(*_nobody(), ("trees",))


def _nobody() -> tuple[click.Context, click.Parameter]:
    return click.Context(click.Command("none")), click.Option(["--none"])

"""What single values may be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.project import readers as read
from flyball.project.wording import nearest, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        ('a "b"', '"a \\"b\\""'),
        ("x" * 61, '"' + "x" * 57 + '..."'),
        ([1], "a list"),
        ({}, "a table"),
        pytest.param(10**5000, "a very large integer", id="huge"),
    ],
)
def test_a_value_is_shown_short_and_as_toml(value: Any, text: str) -> None:
    """A message stays readable whatever was written."""
    assert shown(value) == text


def test_the_nearest_name_is_named_with_all_that_are_known() -> None:
    """Without a near one, only the list; long lists end at twenty."""
    assert nearest("acu", ("auc", "f1")) == '; did you mean "auc"? (auc, f1)'
    assert nearest("zzz", ("auc", "f1")) == "; known: (auc, f1)"
    assert nearest("zzz", ()) == "; known: (there are none)"
    assert nearest("zzz", tuple(f"x{number}" for number in range(21))).endswith("x19, ...)")


@pytest.mark.parametrize(("value", "text"), [("yes", "yes"), (1, "1"), (True, "1"), (False, "0")])
def test_the_positive_class_is_text(value: Any, text: str) -> None:
    """A boolean counts as its number, which is how a table's boolean column is read."""
    assert read.positive_value(value) == text


def test_a_shadow_goes_full_however_it_is_spaced() -> None:
    """ "shadow, full" names both stages; the record keeps the first."""
    assert read.strategy("shadow,full") == read.strategy(" shadow , full ") == "shadow"
    assert read.strategy("direct") == "direct"


def test_a_day_that_never_comes_is_no_schedule() -> None:
    """The thirtieth of February passes every field's range."""
    with pytest.raises(ValueError, match=r"^bad day-of-month"):
        read.cron("0 0 30 2 *")


@given(st.text(alphabet="0123456789*/-,#LWMONJA ", max_size=20))
def test_any_text_is_a_schedule_or_a_value_error(text: str) -> None:
    """No text ends in any other error."""
    try:
        assert read.cron(text) == text
    except ValueError:
        return


@given(st.text(max_size=30))
def test_any_text_is_a_time_zone_or_a_value_error(text: str) -> None:
    """Folders, null bytes and paths out of the database are no time zones."""
    try:
        assert read.timezone(text) == text
    except ValueError:
        return

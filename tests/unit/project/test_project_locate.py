"""Lines of sections, keys and items in TOML text."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.project.locate import Place, line_of, lines_of

NASTY = '''\
# [not.a.section] "nor = a string
title = "a # no comment ] } = [" # a comment
multi = """
[fake]
key = "\\""" still inside
""""
literal = \'\'\'
other = 'x'
\'\'\'

[gate] # rules = ["none"]
change = [ # first
  "auc > 1", # "one"

  "a]b,c#d",
  [1, [2,
    3]],
  { a = 1, b.c = [4,
     5] },
]
"quoted key" = 1
'it''s' = 2
'''.replace("'it''s'", "'it is'")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("multi",), 3),
        (("literal",), 7),
        (("gate",), 11),
        (("gate", "change"), 12),
        (("gate", "change", 0), 13),
        (("gate", "change", 1), 15),
        (("gate", "change", 2), 16),
        (("gate", "change", 2, 1, 1), 17),
        (("gate", "change", 3), 18),
        (("gate", "change", 3, "b", "c"), 18),
        (("gate", "change", 3, "b", "c", 1), 19),
        (("gate", "quoted key"), 21),
        (("gate", "it is"), 22),
        (("fake",), None),
        (("not",), None),
        (("gate", "change", 4), None),
    ],
)
def test_a_line_is_found_whatever_strings_and_comments_hold(path: Place, line: int | None) -> None:
    """Brackets, commas, hashes and headers inside strings and comments are text."""
    assert line_of(NASTY, path) == line


def test_dotted_keys_and_headers_name_the_same_places() -> None:
    """`[a.b]` places a and a.b; `c.d = 1` places c and c.d below; an explicit `[a]` later takes a over."""
    text = '[a.b]\nc.d = 1\n\n[ a ]\n"e".f = 2\n'
    assert lines_of(text) == {
        ("a",): 4,
        ("a", "b"): 1,
        ("a", "b", "c"): 2,
        ("a", "b", "c", "d"): 2,
        ("a", "e"): 5,
        ("a", "e", "f"): 5,
    }


def test_arrays_of_tables_are_counted() -> None:
    """Each `[[x]]` begins the next element, and `[x.y]` belongs to the newest."""
    text = "[[x]]\na = 1\n[[x]]\na = 2\n[x.y]\nb = 3\n[[x.z]]\nc = 4\n"
    assert line_of(text, ("x", 0, "a")) == 2
    assert line_of(text, ("x", 1)) == 3
    assert line_of(text, ("x", 1, "y", "b")) == 6
    assert line_of(text, ("x", 1, "z", 0, "c")) == 8


def test_windows_line_ends_count_once() -> None:
    """`\\r\\n` is one line's end."""
    assert line_of("a = 1\r\n[b]\r\nc = 2\r\n", ("b", "c")) == 3


def test_a_date_with_a_space_is_one_value() -> None:
    """TOML allows a space between date and time."""
    assert line_of("a = 1979-05-27 07:32:00 # x\nb = [1979-05-27 07:32:00, 2]\n", ("b", 1)) == 2


@given(st.text(alphabet="ab[]{}=.,\"'#\\\n 1", max_size=60))
def test_any_text_gives_lines_within_it(text: str) -> None:
    """Text that is not TOML ends the search, never in an error or for ever."""
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())


LINES = (
    "[a]",
    "[ a . b ] # [x]",
    '["a".c]',
    "[[d]]",
    "[[d]] # again",
    "[d.e]",
    "[[d.f]]",
    "k = 1",
    "k.l.m = [[1, 2], {x = [3], y.z = '#'}, ] # ]",
    's = """\n[a]\nk = 1 \\""" """',
    "t = '''\n]]\"''''",
    '\'q\' = [ # [\n  "]",\n\n  1979-05-27 07:32:00, # "\n]',
    '"u\\u0041" = { a = "}", b = [ ] }',
    "",
    "# k = [",
)


@given(st.lists(st.sampled_from(LINES), unique=True).map("\n".join))
def test_every_key_of_valid_toml_has_a_line(text: str) -> None:
    """What tomllib reads, this places."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(_paths(document, ())) == set(lines_of(text))


def _paths(value: Any, path: Place) -> list[Place]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _paths(item, (*path, key))
    return found

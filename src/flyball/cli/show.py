"""How things look on a terminal: aligned tables, times in UTC to the minute, estimates with their interval; or JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import click
import orjson

from flyball.stats.estimate import Estimate

#: what stands where there is nothing.
NOTHING = "-"

#: a table's cell is cut to this many characters; `--json` gives the whole text.
WIDEST = 100


def put(document: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print one answer: the JSON document for programs, or the text for people."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
        click.echo(orjson.dumps(document, option=options, default=str).decode())
    else:
        click.echo(text)


def progress(line: str) -> None:
    """A line on what is happening, for a person who watches; programs get the result only."""
    if sys.stderr.isatty():
        click.echo(printable(line), err=True)


def minute(at: datetime) -> str:
    """`2013-08-01 12:00Z`"""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def span(start: datetime | None, end: datetime | None) -> str:
    """`2013-01-01 00:00Z .. 2013-03-01 00:00Z`, either end open; of rows that carry no time: so."""
    if start is None and end is None:
        return "without times"
    return " .. ".join(minute(at) if at else "…" for at in (start, end))


def interval(value: float, low: float, high: float, *, sign: str = "") -> str:
    """`0.712 [0.702, 0.722]`; with `sign="+"` positive numbers carry theirs."""
    first, second, third = (
        f"{item:{sign}.3f}" if abs(item) < 100 else f"{item:{sign},.4g}" for item in (value, low, high)
    )
    return f"{first} [{second}, {third}]"


def printable(text: str) -> str:
    """The text without control characters: a reason or a label may come from anybody."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def cell(value: object) -> str:
    """One value as a person reads it."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return minute(value)
        case date():
            return value.isoformat()
        case Estimate():
            return interval(value.value, value.low, value.high)
        case float():
            return f"{value:,.4g}"
        case int():
            return f"{value:,}"
        case _:
            return printable(str(value))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing yet") -> str:
    """Aligned columns, two blanks apart; columns of numbers to the right. Without rows: `empty`."""
    values = [list(row) for row in rows]
    if not values:
        return empty
    texts = [list(heads), *([_cut(cell(value)) for value in row] for row in values)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(heads))]
    right = [_numeric(row[place] for row in values) for place in range(len(heads))]
    return "\n".join(_line(row, widths, right) for row in texts)


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, one a line, the values aligned."""
    known = [(name, cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in known)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (
        text.rjust(width) if number else text.ljust(width)
        for text, width, number in zip(row, widths, right, strict=True)
    )
    return "  ".join(cells).rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _numeric(column: Iterable[object]) -> bool:
    known = [value for value in column if value is not None]
    return bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)

"""Reading rows value by value: what exactly is wrong, where, and what is needed instead.

The slow twin of `engine.check`, used where the fast one gives up. No message repeats a value that came in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from flyball.engine.contract import Contract, Feature, Kind, Table
from flyball.engine.timestamps import MISSING, Spelling, respell
from flyball.errors import Mistake

#: problems kept with their text; the others are counted.
KEPT = 10
#: characters of an unknown column's name that a message repeats.
NAME_SHOWN = 64

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NEEDS: Mapping[Kind, str] = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "category": "text",
    "timestamp": "a date-time as text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the rows."""

    #: counted from 0; None: the batch as a whole.
    row: int | None
    #: the feature, or the unknown name; None: the row as a whole.
    column: str | None
    message: str

    def __str__(self) -> str:
        row = None if self.row is None else f"row {self.row}"
        column = None if self.column is None else f"column {self.column!r}"
        where = ", ".join(part for part in (row, column) if part)
        return f"{where}: {self.message}" if where else self.message


class Violation(Mistake):
    """Rows that the contract does not allow; `problems` holds the first ten, `more` counts the others."""

    def __init__(self, problems: Sequence[Problem], *, more: int = 0) -> None:
        text = "; ".join(str(problem) for problem in problems)
        super().__init__(f"{text}; and {more} more" if more else text)
        self.problems = tuple(problems)
        self.more = more


def read_records(contract: Contract, rows: Sequence[Any]) -> Table:
    """`columns_from_records`, value by value. Raises `Violation` with every problem found."""
    found = _Found()
    if not rows:
        found.add(None, None, "no rows, needs at least one")
    for index, row in enumerate(rows):
        if isinstance(row, Mapping):
            _read_row(contract, index, row, found)
        else:
            found.add(index, None, f"got {_type_name(row)}, needs an object with one value for each feature")
    found.raise_if_any()
    return _table(contract, rows)


def read_split(contract: Contract, columns: Sequence[Any], data: Sequence[Any]) -> Table:
    """`columns_from_split`, value by value. Raises `Violation` with every problem found."""
    found = _Found()
    _read_header(contract, columns, found)
    found.raise_if_any()
    if not data:
        found.add(None, None, "no rows, needs at least one")
    rows = []
    for index, row in enumerate(data):
        if not isinstance(row, list | tuple):
            found.add(index, None, f"got {_type_name(row)}, needs a list of values")
        elif len(row) != len(columns):
            found.add(index, None, f"got {len(row)} values, needs {len(columns)}, one for each of 'columns'")
        else:
            rows.append(dict(zip(columns, row, strict=True)))
            _read_row(contract, index, rows[-1], found)
    found.raise_if_any()
    return _table(contract, rows)


class _Found:
    """Problems as they are found: the first few with their text, the rest as a count."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.more = 0

    @property
    def full(self) -> bool:
        return len(self.problems) >= KEPT

    def add(self, row: int | None, column: str | None, message: str) -> None:
        if self.full:
            self.more += 1
        else:
            self.problems.append(Problem(row=row, column=column, message=message))

    def raise_if_any(self) -> None:
        if self.problems:
            raise Violation(self.problems, more=self.more)


def _read_header(contract: Contract, columns: Sequence[Any], found: _Found) -> None:
    names = [name for name in columns if isinstance(name, str)]
    for name in columns:
        if not isinstance(name, str):
            found.add(None, None, f"'columns' holds {_type_name(name)}, needs the features' names as text")
    for name in sorted(name for name, times in Counter(names).items() if times > 1):
        found.add(None, name[:NAME_SHOWN], "named twice in 'columns'")
    _read_names(contract, None, dict.fromkeys(names), found)


def _read_names(contract: Contract, row: int | None, names: Mapping[Any, Any], found: _Found) -> None:
    for feature in contract.features:
        if feature.name not in names:
            mend = ", give null where it is not known" if feature.nullable else ""
            found.add(row, feature.name, f"missing{mend}")
    for name in names:
        if name not in contract.layout.place:
            # The nearest name is costly to find, and ten are enough.
            found.add(row, str(name)[:NAME_SHOWN], "" if found.full else _unknown(contract, str(name)))


def _read_row(contract: Contract, index: int, row: Mapping[Any, Any], found: _Found) -> None:
    if len(row) != len(contract.features) or not all(name in row for name in contract.layout.names):
        _read_names(contract, index, row, found)
    for feature in contract.features:
        if feature.name in row:
            message = _fault(feature, row[feature.name])
            if message is not None:
                found.add(index, feature.name, message)


def _unknown(contract: Contract, name: str) -> str:
    near = get_close_matches(name[:NAME_SHOWN], contract.layout.names, n=1)
    if near:
        return f"no such feature; did you mean {near[0]!r}?"
    known = ", ".join(contract.layout.names[:KEPT])
    return f"no such feature; the model takes {known}" + (", ..." if len(contract.features) > KEPT else "")


def _fault(feature: Feature, value: Any) -> str | None:
    """What is wrong with one value, without the value; None where nothing is."""
    if _missing(feature.kind, value):
        if feature.nullable:
            return None
        got = "null" if value is None else "an empty text" if value == "" else "NaT" if value == "NaT" else "NaN"
        return f"got {got}, needs {_NEEDS[feature.kind]}: no value was missing in training"
    if feature.kind == "category":
        if isinstance(value, str):
            return None
        quoted = " (give it as text)" if _is_number(value) else ""
        return f"got {_type_name(value)}, needs text{quoted}"
    if feature.kind == "timestamp":
        return _fault_of_timestamp(feature, value)
    if feature.kind == "boolean":
        fits = isinstance(value, bool | np.bool_) or (_is_number(value) and value in (0, 1))
        return None if fits else f"got {_type_name(value)}, needs true or false"
    return _fault_of_number(feature.kind, value)


def _fault_of_number(kind: Kind, value: Any) -> str | None:
    if not _is_number(value):
        return f"got {_type_name(value)}, needs {_NEEDS[kind]}"
    if abs(value) > _FLOAT32_MAX:
        return f"got a number beyond {_FLOAT32_MAX:.1e}, needs one that fits 32 bits"
    if kind == "integer" and value != math.floor(value):
        return "got a number with a fraction, needs an integer"
    return None


def _fault_of_timestamp(feature: Feature, value: Any) -> str | None:
    spelling = Spelling.of(feature.timezone, feature.earliest, feature.latest)
    if not isinstance(value, str):
        return f"got {_type_name(value)}, needs text: {spelling.needs}"
    try:
        spelling.canonical(value)
    except ValueError as error:
        return str(error)
    return None


def _missing(kind: Kind, value: Any) -> bool:
    """null, NaN, for a category an empty text, and for a timestamp also NaT."""
    if isinstance(value, str):
        return value in MISSING if kind == "timestamp" else kind == "category" and not value
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _type_name(value: Any) -> str:
    """The JSON word for a value's type."""
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    if _is_number(value):
        return "integer" if isinstance(value, int | np.integer) else "number"
    if isinstance(value, list | tuple):
        return "list"
    return "object" if isinstance(value, Mapping) else type(value).__name__[:NAME_SHOWN]


def _table(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows without fault, as blocks."""
    layout = contract.layout
    numbers = np.empty((len(rows), len(layout.numbers)), dtype=np.float32)
    categories = np.empty((len(rows), len(layout.categories)), dtype=np.object_)
    for index, row in enumerate(rows):
        numbers[index] = [math.nan if row[name] is None else row[name] for name in layout.numbers]
        categories[index] = [row[name] if isinstance(row[name], str) else "" for name in layout.categories]
    respell(categories, layout.timestamps)
    return Table(layout, numbers, categories)

"""Tables as lines: CSV and JSON lines become columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

from flyball.engine.contract import Columns, Contract, Kind
from flyball.serving.problem import Problem
from flyball.serving.protocols.reading import columns_of_rows, columns_of_split, json_value

#: under which rows are named in a refusal.
ROWS = ("rows",)

#: how a missing number is written; a missing text is an empty one.
_MISSING = frozenset({"", "nan", "na", "null", "none"})
_BOOLEANS: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "1", "1.0"), True),
    **dict.fromkeys(("false", "0", "0.0"), False),
    **dict.fromkeys(_MISSING),
}


def read_csv(body: bytes, contract: Contract, *, header: str | None = None) -> Columns:
    """The columns of a CSV in UTF-8. Raises `Problem` (400, 422).

    `header` is "present" or "absent"; None: the first line is one if it names a feature. Without, the order is the
    contract's. What does not read as a feature's kind stays text, so that the contract names it.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(_text(body), newline="")) if row]
    except csv.Error:
        raise Problem("malformed", "the body is not CSV as RFC 4180 has it") from None
    names = [name.strip() for name in rows[0]] if rows else []
    present = any(name in contract.layout.place for name in names) if header is None else header == "present"
    if present:
        rows = rows[1:]
    else:
        names = list(contract.names())
    kinds = {feature.name: feature.kind for feature in contract.features}
    read = [_READ[kinds.get(name, "category")] for name in names]
    data: list[Any] = [
        [of(cell) for of, cell in zip(read, row, strict=True)] if len(row) == len(read) else row for row in rows
    ]
    return columns_of_split(contract, names, data, ROWS)


def read_json_lines(body: bytes, contract: Contract) -> Columns:
    """The columns of lines, each of which is an object or a list. Raises `Problem` (400, 422), naming the row."""
    rows: list[Any] = []
    for line in body.split(b"\n"):
        if not line.strip():
            continue
        try:
            rows.append(json_value(line))
        except Problem as problem:
            raise Problem(problem.kind, f"row {len(rows)}: {problem.detail}") from None
    return columns_of_rows(contract, rows, ROWS)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem("malformed", f"the body is not in UTF-8, from byte {error.start} on") from None


def _number(cell: str) -> float | str | None:
    try:
        value = float(cell)
    except ValueError:
        return None if cell.strip().lower() in _MISSING else cell
    return cell if "_" in cell else value


def _timestamp(cell: str) -> str | None:
    text = cell.strip()
    return None if text.lower() in _MISSING else text


def _boolean(cell: str) -> bool | str | None:
    return _BOOLEANS.get(cell.strip().lower(), cell)


_READ: Mapping[Kind, Callable[[str], Any]] = {
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
    "category": str,
    "timestamp": _timestamp,
}

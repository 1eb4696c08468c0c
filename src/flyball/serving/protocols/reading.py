"""What the foreign protocols share on the way in: media types, JSON as their clients write it, rows and columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flyball.engine.check import Violation, columns_from_records, columns_from_split
from flyball.engine.contract import Columns, Contract
from flyball.serving.problem import Location, Problem, wrong
from flyball.serving.protocols.native import loads, only, row_keys, row_times, violated
from flyball.serving.requests import Headers

#: read as JSON: what says so, what says nothing, and what clients send when nobody tells them what it is.
_JSON = frozenset(
    {"", "application/json", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"}
)
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_EVENT = frozenset({"key", "timestamp"})
#: a text, or one of the numbers that JSON lacks and Python writes all the same.
_TEXT_OR_NOT_A_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)

Parameters = Mapping[str, str]


def media_type(headers: Headers) -> tuple[str, Parameters]:
    """The body's media type in lower case ("": none is given) and its parameters. Raises `Problem` (415).

    A body must be in UTF-8. It has come out of its content coding already (`coding`).
    """
    kind, *rest = headers.get(b"content-type", b"").decode("latin-1").lower().split(";")
    parameters = {name.strip(): value.strip(' "') for name, _, value in (part.partition("=") for part in rest)}
    if parameters.get("charset", "utf-8") not in _CHARSETS:
        raise Problem("media", "the body is not in UTF-8; send it in UTF-8")
    return kind.strip(), parameters


def is_json(kind: str) -> bool:
    return kind in _JSON or kind.endswith("+json")


def json_object(body: bytes, headers: Headers, needs: str) -> dict[str, Any]:
    """The body as a JSON object. Raises `Problem` (400, 415, 422); `needs` says what to send instead."""
    kind, _ = media_type(headers)
    if not is_json(kind):
        raise Problem("media", f"a body of this Content-Type cannot be read here; {needs} as application/json")
    return an_object(json_value(body), needs)


def an_object(value: Any, needs: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise wrong((), f"the body is no object; {needs}")
    return value


def json_value(body: bytes) -> Any:
    """JSON, in which NaN is read as null: Python's own encoder writes missing numbers so. Raises `Problem` (400)."""
    if b"NaN" in body or b"Infinity" in body:
        body = _TEXT_OR_NOT_A_NUMBER.sub(_in_json, body)
    return loads(body)


def _in_json(found: re.Match[bytes]) -> bytes:
    text = found[0]
    if text.startswith(b'"'):
        return text
    return b"null" if text.endswith(b"NaN") else text.replace(b"Infinity", b"1e308")


def columns_of_rows(contract: Contract, rows: list[Any], at: Location) -> Columns:
    """The columns of rows that are objects, or lists in the order of the contract, or, of one feature, values.

    Raises `Problem` (422); the rows stand in the body under `at`.
    """
    first = rows[0] if rows else None
    try:
        if type(first) is list:
            return columns_from_split(contract, contract.names(), rows)
        if type(first) is not dict and rows and len(contract.features) == 1:
            return columns_from_split(contract, contract.names(), [[value] for value in rows])
        return columns_from_records(contract, rows)
    except Violation as violation:
        raise violated(violation, at) from None


def columns_of_lists(contract: Contract, lists: Mapping[str, Any], at: Location) -> Columns:
    """The columns of `{feature: [value, ...]}`; each value may be a list of one. Raises `Problem` (422)."""
    columns = [_list(name, values, at) for name, values in lists.items()]
    if len(set(map(len, columns))) > 1:
        raise wrong(at, "its lists differ in length; give each feature one value a row")
    return columns_of_split(contract, list(lists), list(map(list, zip(*columns, strict=True))), at)


def columns_of_split(contract: Contract, names: Sequence[str], data: list[Any], at: Location) -> Columns:
    """The columns of rows in the order of `names`. Raises `Problem` (422)."""
    try:
        return columns_from_split(contract, names, data)
    except Violation as violation:
        raise violated(violation, at) from None


def keys_and_times(
    parameters: Any, rows: int, now_s: float, at: Location, passed: frozenset[str] = frozenset()
) -> tuple[list[str] | None, str | list[str] | None]:
    """`key` and `timestamp`, which the foreign protocols carry among their parameters. Raises `Problem` (422).

    `passed`: parameters that clients set for themselves, or for other servers.
    """
    if parameters is None:
        return None, None
    if type(parameters) is not dict:
        raise wrong(at, "needs an object")
    only(parameters, _EVENT | passed, at)
    return row_keys(parameters.get("key"), rows, at), row_times(parameters.get("timestamp"), rows, now_s, at)


def row_count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _list(name: str, values: Any, at: Location) -> list[Any]:
    if type(values) is not list:
        raise wrong((*at, name[:64]), "needs a list with one value a row")
    if values and type(values[0]) is list:
        return [value[0] if type(value) is list and len(value) == 1 else value for value in values]
    return values

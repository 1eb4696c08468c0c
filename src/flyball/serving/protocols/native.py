"""The native protocol, pure: request bytes to columns, a prediction to answer bytes, columns to journal JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import orjson

from flyball.engine.check import Violation, columns_from_records, columns_from_split
from flyball.engine.contract import Columns, Contract, Prediction, Table
from flyball.serving.problem import Location, Problem, Wrong, wrong
from flyball.store.clock import moment, stamp

#: an event time may be this far ahead of the server's clock, seconds.
CLOCK_SKEW_S = 60.0
KEY_LENGTH = 512

_FIELDS = frozenset({"inputs", "key", "timestamp"})
_SPLIT_FIELDS = frozenset({"columns", "data"})


@dataclass(slots=True)
class Asked:
    """One request, understood."""

    columns: Columns
    rows: int
    #: one per row, or None: the rows have no key.
    keys: list[str] | None
    #: one stamp for all rows, one per row, or None: now.
    timestamp: str | list[str] | None
    #: the rows as they were asked, in one line of JSON: a list of objects, or columns and data; None where they are not.
    text: bytes | None = None


def decode(body: bytes, contract: Contract, now_s: float) -> Asked:
    """The rows, keys and event times of a predict request. Raises `Problem` (400, 422), naming row and column.

    `now_s`: seconds since 1970; event times may not lie after it.
    """
    value = loads(body)
    if type(value) is not dict or "inputs" not in value:
        raise wrong(("inputs",), 'missing; send {"inputs": [{feature: value, ...}, ...]}')
    inputs = value["inputs"]
    booleans = _may_hold_booleans(body, value, contract)
    try:
        if type(inputs) is list:
            columns = columns_from_records(contract, inputs, booleans=booleans)
            rows = len(inputs)
        else:
            columns, rows = _split(contract, inputs, booleans=booleans)
    except Violation as violation:
        raise violated(violation) from None
    return Asked(columns, rows, *keys_and_times(value, rows, now_s), inputs_text(body, value))


def _may_hold_booleans(body: bytes, value: Mapping[str, Any], contract: Contract) -> bool:
    """Whether true or false may stand among the inputs' values."""
    inputs = value["inputs"]
    last = next(reversed(inputs), "") if type(inputs) is dict and len(value) == 1 else ""
    if last == "data" and not contract.layout.categories:
        # Nothing but data comes after the last quote; where that is within the data, text is refused as a number.
        quote = body.rfind(b'"')
        return body.find(b"u", quote) >= 0 or body.find(b"l", quote) >= 0
    return b"true" in body or b"false" in body


def inputs_text(body: bytes, value: Mapping[str, Any]) -> bytes | None:
    """The JSON text of `inputs` in a body that holds nothing besides; None where it holds more, or line breaks."""
    if len(value) > 1 or b"\n" in body:
        return None
    return body[body.index(b":") + 1 : body.rindex(b"}")]


def keys_and_times(
    value: Mapping[str, Any], rows: int, now_s: float
) -> tuple[list[str] | None, str | list[str] | None]:
    """What a request says besides its inputs. Raises `Problem`."""
    if len(value) == 1:
        return None, None
    only(value, _FIELDS, ())
    return row_keys(value.get("key"), rows), row_times(value.get("timestamp"), rows, now_s)


def encode(head: bytes, prediction: Prediction, ids: Sequence[str], *, multiclass: bool) -> bytes:
    """The answer. `head` is `answer_head` of the version; multiclass answers carry all probabilities besides."""
    tail = b""
    if multiclass and prediction.probabilities is not None:
        tail = b',"probabilities":' + orjson.dumps(prediction.probabilities.tolist())
    return b'%b%b%b,"ids":%b}' % (head, orjson.dumps(prediction.prediction.tolist()), tail, orjson.dumps(ids))


def answer_head(model: str, version: int, variant: str) -> bytes:
    """What every answer of a version begins with."""
    return orjson.dumps({"model": model, "version": version, "variant": variant})[:-1] + b',"predictions":'


def features_json(contract: Contract) -> Callable[[Columns], orjson.Fragment | Mapping[str, Any]]:
    """A function from a version's columns to the JSON object the journal keeps of them.

    Several times as fast as an object of arrays: all numbers are written by one call and cut at the commas between
    columns, which numbers themselves never hold, and names and values are joined as they are.
    """
    layout = contract.layout
    names = [orjson.dumps(name) for name in (*layout.numbers, *layout.categories)]
    opening = [b"{" + names[0] + b":[", *(b"]," + name + b":[" for name in names[1:])]

    def encoded(columns: Columns) -> orjson.Fragment | Mapping[str, Any]:
        if not isinstance(columns, Table):
            return columns
        numbers, values = columns.numbers, []
        if len(numbers) == 1:
            values = orjson.dumps(numbers[0], None, orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
        elif layout.numbers:
            by_column = np.ascontiguousarray(numbers.T)
            values = orjson.dumps(by_column, None, orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")
        if layout.categories:
            values = values if layout.numbers else []
            values += [orjson.dumps(column.tolist())[1:-1] for column in columns.categories.T]
        pieces = [b"]}"] * (2 * len(opening) + 1)
        pieces[:-1:2] = opening
        pieces[1::2] = values
        return orjson.Fragment(b"".join(pieces))

    return encoded


def loads(body: bytes) -> Any:
    """The JSON value, or a 400 that says where it ends being one."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        at = f"{error.msg} at line {error.lineno}, column {error.colno}" if body else "it is empty"
        raise Problem("not-json", f"the body is not JSON: {at}") from None


def only(value: Mapping[str, Any], allowed: frozenset[str], loc: Location) -> None:
    """Refuse fields that would otherwise be ignored."""
    unknown = sorted(value.keys() - allowed)
    if unknown:
        message = f"no such field; allowed are {', '.join(sorted(allowed))}"
        raise Problem(
            "contract",
            f"{unknown[0][:64]}: {message}",
            [Wrong(loc=(*loc, name[:64]), msg=message) for name in unknown[:10]],
        )


def event_time(value: Any, now_s: float, loc: Location) -> str:
    """The stamp of an RFC 3339 text that is not in the future."""
    if type(value) is not str:
        raise wrong(loc, "needs RFC 3339 text, for example 2013-08-01T12:00:00Z")
    try:
        at = moment(value)
    except ValueError:
        raise wrong(loc, "not RFC 3339 with a time zone, for example 2013-08-01T12:00:00Z") from None
    except OverflowError:
        raise wrong(loc, "not between the years 1 and 9999 in UTC") from None
    if at.timestamp() > now_s + CLOCK_SKEW_S:
        raise wrong(loc, "lies in the future by more than 60 s; is the sender's clock right?")
    return stamp(at)


def entity_key(value: Any, loc: Location) -> str:
    if type(value) is not str or not 0 < len(value) <= KEY_LENGTH:
        raise wrong(loc, f"needs text of 1 to {KEY_LENGTH} characters")
    return value


def _split(contract: Contract, inputs: Any, *, booleans: bool) -> tuple[Columns, int]:
    if type(inputs) is not dict:
        raise wrong(("inputs",), 'needs a list of objects, or {"columns": [...], "data": [[...], ...]}')
    only(inputs, _SPLIT_FIELDS, ("inputs",))
    columns, data = inputs.get("columns"), inputs.get("data")
    if type(columns) is not list:
        raise wrong(("inputs", "columns"), "needs a list of feature names")
    if type(data) is not list:
        raise wrong(("inputs", "data"), "needs a list of rows")
    return columns_from_split(contract, columns, data, booleans=booleans), len(data)


def row_keys(value: Any, rows: int, at: Location = ()) -> list[str] | None:
    """One key a row, of a `key` that stands in the body under `at`: text for all rows, or a list. Raises `Problem`."""
    if value is None:
        return None
    if type(value) is list:
        per_row = _per_row(value, rows, (*at, "key"))
        return [entity_key(item, (*at, "key", row)) for row, item in enumerate(per_row)]
    return [entity_key(value, (*at, "key"))] * rows


def row_times(value: Any, rows: int, now_s: float, at: Location = ()) -> str | list[str] | None:
    """The same of a `timestamp`: stamps, one for all rows or one a row."""
    if value is None:
        return None
    if type(value) is list:
        per_row = _per_row(value, rows, (*at, "timestamp"))
        return [event_time(item, now_s, (*at, "timestamp", row)) for row, item in enumerate(per_row)]
    return event_time(value, now_s, (*at, "timestamp"))


def _per_row(value: list[Any], rows: int, loc: Location) -> list[Any]:
    if len(value) != rows:
        raise wrong(loc, f"has {len(value)} items for {rows} rows; give one for each row, or one for all")
    return value


def violated(violation: Violation, at: Location = ("inputs",)) -> Problem:
    """Rows that the contract does not allow, as a refusal; the rows stand in the body under `at`."""
    errors = [
        Wrong(loc=(*at, *(part for part in (item.row, item.column) if part is not None)), msg=item.message)
        for item in violation.problems
    ]
    return Problem("contract", cast(str, violation.args[0]), errors)

"""Reading the stored line, which may be torn or not ours at all: a record or None, never an exception. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from flyball.journal.line import PROTOCOL, Role, Scalar, Source
from flyball.store.clock import moment

_MODEL = re.compile(r"[a-z0-9-]{1,128}")
_ROLES = frozenset(("live", "shadow", "replay"))
_SOURCES = frozenset(("http", "batch", "stream"))
_INT64 = 2**63
_BOOL, _TEXT, _NUMBER = frozenset((bool,)), frozenset((str,)), frozenset((int, float))
_NONE: frozenset[type] = frozenset((type(None),))


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLine:
    """One request of n rows; every list has n items."""

    model: str
    version: int
    variant: str
    role: Role
    source: Source
    generation: int
    request_id: str
    ids: list[str]
    #: event times, aware UTC.
    timestamp: list[datetime]
    received_at: datetime
    latency_ms: float | None
    key: list[str | None]
    #: name -> values of one kind: float, str or bool; None = missing.
    features: dict[str, list[Scalar]]
    #: float (binary, regression) or str (multiclass).
    prediction: list[Scalar]
    score: list[Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """What came true for one prediction, named by its id or, without one, by its entity's key."""

    outcome_id: str
    id: str | None
    key: str | None
    name: str
    #: None withdraws what an earlier outcome said.
    value: Scalar
    timestamp: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeLine:
    """One request's outcomes."""

    model: str
    received_at: datetime
    outcomes: list[OutcomeRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """One request that was refused or failed."""

    id: str
    received_at: datetime
    model: str
    version: int | None
    status: int
    reason: str
    columns: list[str]
    caller: str
    request_id: str
    route: str


Line = PredictionLine | OutcomeLine | ErrorLine


def parse_line(line: bytes) -> Line | None:
    """The record of one line, or None for anything that is not whole and well-formed. Never raises."""
    try:
        value = orjson.loads(line)
        if value["v"] != PROTOCOL:
            return None
        return _KINDS[value["kind"]](value)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        return None


def _predictions(value: dict[str, Any]) -> PredictionLine:
    ids = _texts(value["ids"])
    n = len(ids)
    key = value.get("key")
    return PredictionLine(
        model=_model(value["model"]),
        version=_integer(value["version"]),
        variant=_text(value["variant"]),
        role=_among(value["role"], _ROLES),
        source=_among(value["source"], _SOURCES),
        generation=_integer(value["generation"]),
        request_id=_text(value["request_id"]),
        ids=ids,
        timestamp=_times(value["timestamp"], n),
        received_at=moment(_text(value["received_at"])),
        latency_ms=_number(value["latency_ms"]),
        key=[None] * n if key is None else _column(key, n, _TEXT),
        features=_features(value, n),
        prediction=_column(value["prediction"], n),
        score=_column(value["score"], n, _NUMBER),
    )


def _outcomes(value: dict[str, Any]) -> OutcomeLine:
    return OutcomeLine(
        model=_model(value["model"]),
        received_at=moment(_text(value["received_at"])),
        outcomes=[_outcome(item) for item in value["outcomes"]],
    )


def _outcome(item: dict[str, Any]) -> OutcomeRow:
    by_id, by_key, at = item.get("id"), item.get("key"), item.get("timestamp")
    if by_id is None and by_key is None:
        raise ValueError("an outcome names a prediction or a key")
    return OutcomeRow(
        outcome_id=_text(item["outcome_id"]),
        id=None if by_id is None else _text(by_id),
        key=None if by_key is None else _text(by_key),
        name=_text(item["name"]),
        value=_column([item["value"]], 1)[0],
        timestamp=None if at is None else moment(_text(at)),
    )


def _error(value: dict[str, Any]) -> ErrorLine:
    version = value["version"]
    return ErrorLine(
        id=_text(value["id"]),
        received_at=moment(_text(value["timestamp"])),
        model=_model(value["model"]),
        version=None if version is None else _integer(version),
        status=_integer(value["status"]),
        reason=_text(value["reason"]),
        columns=_texts(value["columns"]),
        caller=_text(value["caller"]),
        request_id=_text(value["request_id"]),
        route=_text(value["route"]),
    )


_KINDS: dict[str, Callable[[dict[str, Any]], Line]] = {
    "predictions": _predictions,
    "outcomes": _outcomes,
    "errors": _error,
}


def _column(values: Any, n: int, allowed: frozenset[type] | None = None) -> list[Any]:
    """`values` as n items of one kind or None; numbers as floats, whatever was mixed with text as text."""
    if type(values) is not list or len(values) != n:
        raise ValueError("a column has one value per row")
    kinds = {type(value) for value in values} - _NONE
    if allowed is not None and not kinds <= allowed:
        raise ValueError("a column of another kind")
    if kinds <= {float} or kinds <= _TEXT or kinds <= _BOOL:
        return values
    if kinds <= _NUMBER | _BOOL:
        return [None if value is None else float(value) for value in values]
    if kinds <= _NUMBER | _BOOL | _TEXT:
        return [None if value is None else str(value) for value in values]
    raise ValueError("a value that is no scalar")


def _features(value: dict[str, Any], n: int) -> dict[str, list[Scalar]]:
    """By column: as they stand in `features`; or out of the rows in `inputs`, as a client asked them."""
    if "features" in value:
        return {name: _column(column, n) for name, column in value["features"].items()}
    rows = value["inputs"]
    if type(rows) is list:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        columns = {
            name: list(column) for name, column in zip(rows["columns"], zip(*rows["data"], strict=True), strict=True)
        }
    return {name: _column(column, n) for name, column in columns.items()}


def _times(value: Any, n: int) -> list[datetime]:
    if type(value) is str:
        return [moment(value)] * n
    if len(value) != n:
        raise ValueError("one timestamp for all rows or one per row")
    return [moment(_text(text)) for text in value]


def _texts(values: Any) -> list[str]:
    if type(values) is not list or not {type(value) for value in values} <= _TEXT:
        raise ValueError("not a list of texts")
    return values


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("not a text")
    return value


def _model(value: Any) -> str:
    """A model's name becomes a folder's name, so nothing else may pass."""
    if not _MODEL.fullmatch(_text(value)):
        raise ValueError("not a model's name")
    return str(value)


def _among(value: Any, allowed: frozenset[str]) -> Any:
    if value not in allowed:
        raise ValueError("not one of the known words")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise ValueError("not a 64-bit integer")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in _NUMBER:
        raise ValueError("not a number")
    return float(value)

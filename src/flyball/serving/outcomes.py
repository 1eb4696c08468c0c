"""What came true, as clients send it: request bytes to the journal's outcome records. Pure."""

from __future__ import annotations

import math
from typing import Any

from flyball.serving.problem import Location, wrong
from flyball.serving.protocols.native import entity_key, event_time, loads, only

LABEL = "label"
NAME_LENGTH = 64
TEXT_LENGTH = 1024

_FIELDS = frozenset({"id", "key", "name", "value", "timestamp"})


def decode_outcomes(body: bytes, now_s: float) -> list[dict[str, Any]]:
    """The records of an outcomes request; all of them, or a `Problem` (400, 422) naming the first that is wrong."""
    value = loads(body)
    if type(value) is not dict or type(value.get("outcomes")) is not list:
        raise wrong(("outcomes",), 'missing; send {"outcomes": [{"id" or "key": ..., "value": ...}, ...]}')
    only(value, frozenset({"outcomes"}), ())
    if not value["outcomes"]:
        raise wrong(("outcomes",), "empty; send at least one")
    return [_outcome(item, now_s, ("outcomes", index)) for index, item in enumerate(value["outcomes"])]


def _outcome(item: Any, now_s: float, loc: Location) -> dict[str, Any]:
    if type(item) is not dict:
        raise wrong(loc, "needs an object with 'id' or 'key', and 'value'")
    only(item, _FIELDS, loc)
    if ("id" in item) == ("key" in item):
        raise wrong(loc, "needs either 'id' (of the prediction) or 'key' (of the entity), not both")
    field = "id" if "id" in item else "key"
    record = {
        field: entity_key(item[field], (*loc, field)),
        "name": _name(item.get("name", LABEL), (*loc, "name")),
        "value": _value(item, (*loc, "value")),
    }
    if item.get("timestamp") is not None:
        record["timestamp"] = event_time(item["timestamp"], now_s, (*loc, "timestamp"))
    return record


def _name(value: Any, loc: Location) -> str:
    if type(value) is not str or not 0 < len(value) <= NAME_LENGTH:
        raise wrong(loc, f"needs text of 1 to {NAME_LENGTH} characters, as in [outcomes.NAME]; without it, 'label'")
    return value


def _value(item: dict[str, Any], loc: Location) -> float | str | bool | None:
    if "value" not in item:
        raise wrong(loc, "missing; give what came true, or null to withdraw what was said before")
    value = item["value"]
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(loc, "needs a finite number")
    if isinstance(value, str) and len(value) > TEXT_LENGTH:
        raise wrong(loc, f"has more than {TEXT_LENGTH} characters")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise wrong(loc, "needs a number, true or false, or text")

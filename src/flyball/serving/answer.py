"""A whole response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

JSON = b"application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, body and what headers belong to them."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()


def json_answer(value: Any, *, status: int = 200) -> Answer:
    return Answer(body=orjson.dumps(value), status=status)

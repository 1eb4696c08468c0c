"""A whole response, and how it goes over the wire: by ASGI, or as bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from flyball.serving.problem import phrase
from flyball.serving.requests import Arrival, Headers, traceparent

JSON = b"application/json"

_CLOSE = (b"connection", b"close")

#: ASGI's way out.
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, body and what headers belong to them."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()


def json_answer(value: Any, *, status: int = 200) -> Answer:
    return Answer(body=orjson.dumps(value), status=status)


async def send_answer(send: Send, answer: Answer, came: Arrival, *, close: bool) -> None:
    """By ASGI, to a request. `close`: ask the client to leave."""
    body, asked = answer.body, came.headers
    head = [(b"content-type", answer.content_type), *answer.headers]
    head += [(b"content-length", b"%d" % len(body)), (b"x-request-id", came.asked_by.encode())]
    if b"traceparent" in asked and (trace := traceparent(asked)):
        head.append((b"traceparent", trace))
    if close:
        head.append(_CLOSE)
    await send({"type": "http.response.start", "status": answer.status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def whole(answer: Answer, came: Arrival, *, close: bool, date: bytes) -> bytes:
    """The same as bytes, `date` being the header lines that every answer has."""
    fixed = lines([(b"content-type", answer.content_type), *answer.headers])
    rest = own_lines(came.headers, came.asked_by, answer.body, close=close)
    return b"".join((status_line(answer.status), date, *fixed, *rest, b"\r\n", answer.body))


def own_lines(asked: Headers, asked_by: str, body: bytes, *, close: bool) -> list[bytes]:
    """The header lines that differ from answer to answer, as in `send_answer`."""
    head = [b"content-length: %d\r\nx-request-id: %b\r\n" % (len(body), asked_by.encode())]
    if b"traceparent" in asked and (trace := traceparent(asked)):
        head.append(b"traceparent: " + trace + b"\r\n")
    if close:
        head.append(b"connection: close\r\n")
    return head


def status_line(status: int) -> bytes:
    """The first line of a response."""
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()


def lines(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Headers as they stand in a response."""
    return [name + b": " + value + b"\r\n" for name, value in headers]

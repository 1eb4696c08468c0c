"""What a client is told when a request is refused: RFC 9457 problem+json. Names rows and columns, never values."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTENT_TYPE = b"application/problem+json"

#: kind -> status, and a title for people. The kind is the fragment of `type`, explained on /docs.
KINDS: dict[str, tuple[int, str]] = {
    "not-json": (400, "The body is not JSON"),
    "unauthorized": (401, "A token is needed"),
    "forbidden": (403, "The token opens something else"),
    "not-http": (400, "The request cannot be read as HTTP"),
    "malformed": (400, "The body cannot be read"),
    "no-such-model": (404, "No such model"),
    "no-such-version": (404, "No such version"),
    "no-such-route": (404, "No such route"),
    "method": (405, "The route does not take this method"),
    "slow-head": (408, "The request did not arrive in time"),
    "slow-body": (408, "The body did not arrive in time"),
    "too-large": (413, "The body is too large"),
    "media": (415, "The content type cannot be read"),
    "coding": (415, "The content coding cannot be read"),
    "contract": (422, "The request violates the contract"),
    "head-too-large": (431, "The head of the request is too large"),
    "internal": (500, "Something failed inside the server"),
    "overloaded": (503, "Too many requests are waiting"),
    "connections": (503, "Too many connections are open"),
    "not-loaded": (503, "The model cannot be loaded"),
    "model-away": (503, "The model is being started again"),
    "journal": (503, "The journal cannot be written"),
    "too-slow": (504, "The answer took too long"),
}

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One thing wrong with a request."""

    #: path into the body, for example ("inputs", 3, "hour"); the query or a header by its name.
    loc: Location
    msg: str


class Problem(Exception):
    """A request that gets no answer. Raised while serving only; becomes the response and one log line."""

    def __init__(
        self,
        kind: str,
        detail: str,
        errors: Sequence[Wrong] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = tuple(headers)

    def body(self, request_id: str, members: Mapping[str, str] | None = None) -> bytes:
        """What the client reads; `members` are those that its protocol has besides."""
        value: dict[str, Any] = {
            "type": f"/docs#{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [{"loc": list(item.loc), "msg": item.msg} for item in self.errors],
            "request_id": request_id,
            **(members or {}),
        }
        return orjson.dumps(value)


def wrong(loc: Location, msg: str) -> Problem:
    """A 422 about one place."""
    where = ".".join(str(part) for part in loc)
    return Problem("contract", f"{where}: {msg}" if where else msg, [Wrong(loc=loc, msg=msg)])


def later(kind: str, detail: str, seconds: int = 1) -> Problem:
    """A 503 that says when to come back."""
    return Problem(kind, detail, headers=[(b"retry-after", str(seconds).encode())])


def phrase(status: int) -> str:
    """The standard phrase of a status, for OpenAPI."""
    return HTTPStatus(status).phrase

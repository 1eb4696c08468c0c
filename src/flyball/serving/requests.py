"""What every request has besides its body: when it came, an id, perhaps an idempotency key, the ids made from them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flyball.serving.problem import wrong
from flyball.store.ids import derived_id

REQUEST_ID_LENGTH = 128
IDEMPOTENCY_KEY_LENGTH = 200
TRACEPARENT_LENGTH = 55
#: of a later version than 00, with what it adds.
TRACEPARENT_LONGEST = 512

_REQUEST_ID = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_VISIBLE = bytes(range(0x21, 0x7F))
_ENDS = [f"{number:06x}" for number in range(1024)]

Headers = Mapping[bytes, bytes]

#: in an ASGI scope, besides what stands there: whether the client has gone away.
GONE = "flyball.gone"

_POOLED_IDS = 1000


class Arrivals:
    """Stamps and ids for requests as they come: what `store.stamp` and `store.new_id` give, at a tenth of their time.

    The text of the current second and randomness for many ids are kept from one request to the next.
    """

    __slots__ = ("_random", "_second", "_second_text")

    def __init__(self) -> None:
        self._second = -1
        self._second_text = ""
        self._random: list[str] = []

    def stamp(self, at_ns: int) -> str:
        """`2013-03-01T05:00:00.000000Z` of nanoseconds since 1970."""
        second, rest = divmod(at_ns, 1_000_000_000)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{rest // 1000:06d}Z"

    def new_id(self, at_ns: int) -> str:
        """32 hex digits: 48 bits of time in milliseconds, 80 random ones."""
        if not self._random:
            pool = os.urandom(10 * _POOLED_IDS).hex()
            self._random = [pool[start : start + 20] for start in range(0, len(pool), 20)]
        return f"{at_ns // 1_000_000:012x}{self._random.pop()}"


def _here() -> bool:
    """Who did not come by `protocol` cannot be seen going away."""
    return False


class Arrival(NamedTuple):
    """A request as it came, without its body."""

    method: str
    path: str
    headers: Headers
    #: address and port it came from; None where the socket has none.
    client: tuple[str, int] | None
    #: the id made for it, and the one that it is known by.
    made: str
    asked_by: str
    query: bytes = b""
    #: whether nobody waits for its answer any more.
    gone: Callable[[], bool] = _here


def by_asgi(scope: Mapping[str, Any], made: str) -> Arrival:
    """One that came by ASGI, `made` being the id made for it."""
    headers: Headers = dict(scope["headers"])
    return Arrival(
        scope["method"],
        scope["path"],
        headers,
        scope.get("client"),
        made,
        request_id(headers, made),
        scope.get("query_string", b""),
        scope.get(GONE, _here),
    )


def request_id(headers: Headers, made: str) -> str:
    """The client's X-Request-ID where it is `[A-Za-z0-9._-]{1,128}`, else `made`."""
    given = headers.get(b"x-request-id")
    if given and len(given) <= REQUEST_ID_LENGTH and not given.translate(None, _REQUEST_ID):
        return given.decode("ascii")
    return made


def traceparent(headers: Headers) -> bytes:
    """The trace context to pass on; empty where W3C Trace Context (level 1, section 3.2) says to ignore it.

    Four parts in lower-case hex: version (not ff), trace (not all zero), parent (not all zero), flags. A later version
    may say more after them.
    """
    given = headers[b"traceparent"]
    later = given[:2] != b"00" and given[TRACEPARENT_LENGTH : TRACEPARENT_LENGTH + 1] == b"-"
    if len(given) > TRACEPARENT_LONGEST or not _TRACEPARENT.fullmatch(given[:TRACEPARENT_LENGTH]):
        return b""
    return given if len(given) == TRACEPARENT_LENGTH or later else b""


def item_ids(headers: Headers, scope: str, made: str, count: int) -> list[str]:
    """One id for each row or outcome: `made` (of `Arrivals.new_id`) with its end counted up, 48 to 56 bits of it staying
    random; or, with an Idempotency-Key, the same ids whenever the client sends the request again. Raises `Problem`.
    """
    if b"idempotency-key" in headers:
        return _repeatable(headers[b"idempotency-key"], scope, count)
    if count == 1:
        return [made]
    digits = 6 if count <= 1 << 24 else 8
    start = made[:-digits]
    return (
        [start + end for end in _ENDS[:count]]
        if count <= len(_ENDS)
        else [f"{start}{n:0{digits}x}" for n in range(count)]
    )


def _repeatable(key: bytes, scope: str, count: int) -> list[str]:
    if not 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH or key.translate(None, _VISIBLE):
        raise wrong(("header", "Idempotency-Key"), f"needs 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters")
    text = key.decode("ascii")
    return [derived_id(scope, text, str(item)) for item in range(count)]

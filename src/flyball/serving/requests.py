"""What every request has besides its body: an id, perhaps an idempotency key, and the ids made from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.serving.problem import wrong
from flyball.store.ids import derived_id

REQUEST_ID_LENGTH = 128
IDEMPOTENCY_KEY_LENGTH = 200

_REQUEST_ID = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_VISIBLE = bytes(range(0x21, 0x7F))
_RANDOM_BITS = (1 << 80) - 1

Headers = Mapping[bytes, bytes]


def request_id(headers: Headers, made: str) -> str:
    """The client's X-Request-ID where it is `[A-Za-z0-9._-]{1,128}`, else `made`."""
    given = headers.get(b"x-request-id")
    if given and len(given) <= REQUEST_ID_LENGTH and not given.translate(None, _REQUEST_ID):
        return given.decode("ascii")
    return made


def item_ids(headers: Headers, scope: str, made: str, count: int) -> list[str]:
    """One id for each row or outcome: counted up from `made` (of `store.new_id`), so one call to the random source does
    for all; or, with an Idempotency-Key, the same ids whenever the client sends the request again. Raises `Problem`.
    """
    if b"idempotency-key" in headers:
        return _repeatable(headers[b"idempotency-key"], scope, count)
    if count == 1:
        return [made]
    time_part, start = made[:12], int(made[12:], 16)
    return [f"{time_part}{(start + item) & _RANDOM_BITS:020x}" for item in range(count)]


def _repeatable(key: bytes, scope: str, count: int) -> list[str]:
    if not 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH or key.translate(None, _VISIBLE):
        raise wrong(("header", "Idempotency-Key"), f"needs 1 to {IDEMPOTENCY_KEY_LENGTH} visible ASCII characters")
    text = key.decode("ascii")
    return [derived_id(scope, text, str(item)) for item in range(count)]

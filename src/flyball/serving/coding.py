"""Content codings of request bodies: what is taken, and how a body is freed from it. Pure, and bounded in its output."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from flyball.serving.problem import Problem

if TYPE_CHECKING:
    from flyball.serving.requests import Headers

HEADER = b"content-encoding"
GZIP = b"gzip"
DEFLATE = b"deflate"

#: what is read, as a refusal says it (RFC 7694).
ACCEPTED = b"gzip, deflate, identity"
#: coding as a header names it -> what it is; "x-gzip" is gzip's old name (RFC 9110).
_CODINGS = {GZIP: GZIP, b"x-gzip": GZIP, DEFLATE: DEFLATE}
_PLAIN = (b"", b"identity")
#: streams that one gzip body may have, one after another; more would cost more to tell apart than to inflate.
MOST_STREAMS = 64

_GZIP_BITS = zlib.MAX_WBITS + 16


def coding_of(headers: Headers) -> bytes | None:
    """The coding of a request's body; None where it has none. Raises `Problem` (415)."""
    given = headers.get(HEADER, b"").strip().lower()
    if given in _PLAIN:
        return None
    coding = _CODINGS.get(given)
    if coding is None:
        raise Problem(
            "coding",
            "this Content-Encoding is not read here; needs gzip or deflate, one of them and once, or none",
            headers=[(b"accept-encoding", ACCEPTED)],
        )
    return coding


def inflated(body: bytes, coding: bytes, most: int) -> bytes | None:
    """The body without its coding; None where that has more than `most` bytes. Raises `Problem` (400).

    No more than `most` + 1 bytes are ever inflated, whatever the body says of its size.
    """
    parts: list[bytes] = []
    room, rest = most + 1, body
    for _ in range(MOST_STREAMS if coding == GZIP else 1):
        stream = zlib.decompressobj(_GZIP_BITS if coding == GZIP else _deflate_bits(body))
        try:
            parts.append(stream.decompress(rest, room))
        except zlib.error:
            raise _corrupt(coding, "is no such stream, or a damaged one") from None
        room -= len(parts[-1])
        if not room:
            return None
        if not stream.eof:
            raise _corrupt(coding, "ends before its stream does")
        rest = stream.unused_data
        if not rest:
            return b"".join(parts)
    raise _corrupt(coding, "goes on after its stream has ended")


def _deflate_bits(body: bytes) -> int:
    """RFC 9110 means the zlib format; some clients leave its two bytes of header out."""
    headed = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.MAX_WBITS if headed else -zlib.MAX_WBITS


def _corrupt(coding: bytes, what: str) -> Problem:
    return Problem("malformed", f"the body is sent as {coding.decode()}, and {what}")

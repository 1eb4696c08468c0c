"""Messages that cannot be read as requests, and what their senders are told. Pure; `edge` meets them and tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from flyball.serving.answer import lines
from flyball.serving.connections import HEAD_BYTES
from flyball.serving.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_size(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises `Problem` (431) where a head has more than `HEAD_BYTES`."""
    if len(url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in headers) > HEAD_BYTES:
        raise too_large("head")


def too_large(what: str) -> Problem:
    detail = f"the {what} of a request may have {HEAD_BYTES} bytes; send fewer or shorter header fields"
    return Problem("head-too-large", detail)


def no_proxy() -> Problem:
    """For CONNECT."""
    headers = [(b"allow", b"GET, HEAD, POST")]
    return Problem("method", "this server is no proxy; it takes GET, HEAD, POST", headers=headers)


def no_path() -> Problem:
    return Problem("not-http", "the target of the request line is no path")


def why(error: httptools.HttpParserError) -> tuple[Problem, Exception | None]:
    """What is told of what the parser refused, and the fault if it is ours."""
    cause = error.__context__
    if isinstance(cause, Problem):
        return cause, None
    if isinstance(error, httptools.HttpParserCallbackError):
        fault = Problem("internal", "something failed here, not in the request")
        return fault, cause if isinstance(cause, Exception) else error
    # The parser's reasons are its own words, none of the client's.
    return Problem("not-http", f"this cannot be read as HTTP/1.1: {error}"), None


def without_upgrade(method: bytes, url: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A head that asks for another protocol, written anew as if it did not."""
    first = b"%b %b HTTP/%b\r\n" % (method, url, version.encode())
    return b"".join((first, *lines((name, value) for name, value in headers if name != b"upgrade"), b"\r\n"))

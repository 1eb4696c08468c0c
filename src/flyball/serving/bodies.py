"""Request bodies, bounded in size and in time, without the coding they came in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from flyball.serving.coding import HEADER, coding_of, inflated
from flyball.serving.problem import Problem

if TYPE_CHECKING:
    from flyball.serving.requests import Headers

#: a refused body up to this many times the limit is read and thrown away, so that the client gets to read why.
_TOLERATED = 8

#: coded bodies up to this many bytes, of which not more come out than that, are inflated at once; others on a thread.
_CODED_INLINE = 64 * 1024
_INFLATED_INLINE = 512 * 1024

_CLOSE = (b"connection", b"close")


class Bodies:
    """Reads bodies; `sweep`, called now and then, gives up those that take too long (a timer each would cost more)."""

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._max_digits = len(str(max_bytes))
        self._timeout_s = timeout_s
        #: who is reading, and since when (monotonic).
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()

    async def read(self, headers: Headers, receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes:
        """The whole body. Raises `Problem` (400, 408, 413, 415), or ConnectionAbortedError when the client goes away."""
        coding = coding_of(headers) if HEADER in headers else None
        declared = headers.get(b"content-length", b"")
        if len(declared) >= self._max_digits:
            self._check_declared(declared)
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = time.monotonic()
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                message, body = await self._rest(body, receive)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            task.uncancel()
            detail = f"the body was not complete after {self._timeout_s:g} s"
            raise Problem("slow-body", detail, headers=[_CLOSE]) from None
        finally:
            del self._reading[task]
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        if len(body) > self._max_bytes:
            raise Problem("too-large", f"more than {self._max_bytes} bytes; send fewer rows", headers=[_CLOSE])
        return body if coding is None else await self._inflated(body, coding)

    async def _inflated(self, body: bytes, coding: bytes) -> bytes:
        plain = None
        if len(body) <= _CODED_INLINE:
            plain = inflated(body, coding, min(_INFLATED_INLINE, self._max_bytes))
        if plain is None:
            work = asyncio.to_thread(inflated, body, coding, self._max_bytes)
            try:
                plain = await asyncio.wait_for(work, self._timeout_s)
            except TimeoutError:
                detail = f"the body was not inflated within {self._timeout_s:g} s; send fewer rows"
                raise Problem("too-slow", detail) from None
        if plain is None:
            raise Problem("too-large", f"more than {self._max_bytes} bytes when inflated; send fewer rows")
        return plain

    def sweep(self) -> None:
        """Give up the bodies that have been read for too long."""
        longest_ago = time.monotonic() - self._timeout_s
        for task, since in self._reading.items():
            if since < longest_ago and task not in self._late:
                self._late.add(task)
                task.cancel()

    async def _rest(
        self, first: bytes, receive: Callable[[], Awaitable[Mapping[str, Any]]]
    ) -> tuple[Mapping[str, Any], bytes]:
        """The last message and the whole body, or as much of it as shows that it is too large."""
        parts, size, more = [first], len(first), True
        message: Mapping[str, Any] = {}
        while more and size <= self._max_bytes:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
        return message or {"type": "http.request"}, b"".join(parts)

    def _check_declared(self, declared: bytes) -> None:
        size = int(declared) if declared.isdigit() else 0
        if size > self._max_bytes:
            close = [_CLOSE] if size > _TOLERATED * self._max_bytes else []
            detail = f"{size} bytes, at most {self._max_bytes} are taken; send fewer rows"
            raise Problem("too-large", detail, headers=close)

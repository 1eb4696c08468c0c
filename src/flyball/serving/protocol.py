"""uvicorn's HTTP protocol with a short cut: a small predict request that is here in full is answered where it was
parsed, with one write and without a task, an event or a scope. Everything else goes the ordinary way through ASGI.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flyball.serving.app import INLINE_BYTES, App
from flyball.serving.problem import Problem
from flyball.serving.served import lines

if TYPE_CHECKING:
    from flyball.serving.served import Served


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flyball = cast(App, self.config.app)
        #: longer bodies go the ordinary way, which refuses those that are too long.
        self._longest = min(INLINE_BYTES, self._flyball.options.max_body_bytes)
        #: the model of the request being read, where it goes the short way.
        self._served: Served | None = None
        self._fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._last = False
        self._late: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._served is not None and self._late is None:
            # Only a body that comes in pieces needs a timer, and can be seen in flight.
            self._flyball.begun(1)
            self._late = self.loop.call_later(self._flyball.options.timeout_s, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if self._served is None:
            super().shutdown()
        else:
            self._last = True

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        served = self._flyball.direct.get(self.url)
        if served is not None and self._may_be_short():
            self._served = served
            return
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._served is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        served = self._served
        if served is None:
            super().on_message_complete()
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        fields = self._fields
        self._forget()
        close = self._last or self._flyball.draining or not self.parser.should_keep_alive()
        self.transport.write(self._flyball.answer_directly(served, fields, body, close=close, date=self._date()))
        if close:
            self.transport.close()
        else:
            self.on_response_complete()

    def _may_be_short(self) -> bool:
        """A POST whose small body is announced, with nothing before it still to be answered."""
        fields = self._fields = dict(self.headers)
        declared = fields.get(b"content-length", b"")
        return (
            self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and declared.isdigit()
            and int(declared) <= self._longest
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.parser.should_upgrade()
        )

    def _too_late(self) -> None:
        served, fields = self._served, self._fields
        assert served is not None  # else the timer would have been cancelled
        self._forget()
        problem = Problem("slow-body", f"the body was not complete after {self._flyball.options.timeout_s:g} s")
        self.transport.write(self._flyball.refuse_directly(served, fields, problem, close=True, date=self._date()))
        self.transport.close()

    def _date(self) -> bytes:
        return b"".join(lines(self.server_state.default_headers))

    def _forget(self) -> None:
        self._served, self._fields, self._parts = None, {}, []
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self._flyball.begun(-1)

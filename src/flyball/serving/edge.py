"""uvicorn's HTTP protocol held to limits: of size and time for a head, of memory for what a client sends ahead or does
not read. What cannot be read as a request (`unreadable`) is answered, counted and logged like any other refusal.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from flyball.serving.answer import lines
from flyball.serving.connections import HEAD_BYTES, TOLD, Limits, Seen, Stage, due, slow_head, too_many
from flyball.serving.flow import SLICE, Flow
from flyball.serving.unreadable import check_size, no_path, no_proxy, too_large, why, without_upgrade

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

    from flyball.serving.app import App
    from flyball.serving.problem import Problem

_BETWEEN, _HEAD, _BODY, _OVER = Stage.BETWEEN, Stage.HEAD, Stage.BODY, Stage.OVER


class _Refused(NamedTuple):
    """A message that cannot be read, and what is known of it."""

    problem: Problem
    #: what works on it, where its head could be read.
    cycle: RequestResponseCycle | None = None
    cause: Exception | None = None


class Edge(HttpToolsProtocol):
    """One connection."""

    flow: Flow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flyball = cast("App", self.config.app)
        options = self._flyball.options
        self.timeout_keep_alive = options.keep_alive_s  # type: ignore[assignment]  # uvicorn's own is whole seconds
        self._limits = Limits(options.head_s, options.timeout_s)
        self._stage = _BETWEEN
        #: since when the message being read is unfinished, if it came in pieces; see `Seen`.
        self._since_s = 0.0
        #: bytes parsed since the parser last gave a head or a part of a body.
        self._fruitless = 0
        #: what came behind more requests than are worked on, not yet parsed.
        self._held = b""
        #: the head being read asks for another protocol.
        self._upgrades = False
        #: what is told when the requests before it are answered.
        self._refused: _Refused | None = None
        #: what is, or was last, being answered by ASGI.
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = Flow(transport)
        most = self._flyball.options.max_connections
        if len(self.connections) <= most:
            self._keep_alive()
            return
        self._stage = _OVER
        self._refused = _Refused(too_many(most))
        self._say()
        if len(self.connections) > most + TOLD:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._held = b""
        self.pipeline.clear()
        if self._running is not None:
            # uvicorn tells the request that came last; the one being answered would write to nobody, which is an error.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) <= SLICE and self._stage is not _OVER and not self.pipeline and not self._held:
            self._feed(data)  # as nearly always
            return
        if self._held:
            data, self._held = self._held + data, b""
        for start in range(0, len(data), SLICE):
            if self._stage is _OVER or self.transport.is_closing():
                return
            if self.pipeline:
                self._held = data[start:]
                self.flow.hold()
                return
            self._feed(data[start : start + SLICE])

    def on_message_begin(self) -> None:
        self._stage = _HEAD
        self._since_s = 0.0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Raises `Problem` (431, 405, 400), which comes out of the parser as an error of it."""
        if self._since_s:  # one that came in one piece is short enough
            check_size(self.url, self.headers)
        self._upgrades = self.parser.should_upgrade()
        if self._upgrades:
            if self.parser.get_method() == b"CONNECT":
                raise no_proxy()
            return
        self._begin()
        self._stage = _BODY
        self._since_s = 0.0

    def on_body(self, body: bytes) -> None:
        self._fruitless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrades:
            return
        self._stage = _BETWEEN
        super().on_message_complete()

    def on_response_complete(self) -> None:
        last = not self.pipeline
        super().on_response_complete()
        if self._refused is not None:
            if last:
                self._say()
        elif self._held and not self.pipeline:
            self.loop.call_soon(self._go_on)

    def date(self) -> bytes:
        """The header lines that every answer has."""
        return b"".join(lines(self.server_state.default_headers))

    def look(self, now_s: float) -> None:
        """What the worker's tick finds about this connection, and does."""
        stuck = self.flow.write_paused or self.transport.is_closing()
        if not (stuck or self._since_s):
            return
        if self._stage is not _OVER and self._owes():
            self._since_s = now_s  # others keep the time of what is being answered
        unread = self.flow.look(now_s)
        match due(Seen(self._stage, self._since_s, unread), self._limits, now_s):
            case "slow head":
                self._refuse(slow_head(self._limits))
            case "slow reader":
                self._flyball.left(self.client, unread.size)
                self.flow.cut()
            case "end":
                self.transport.close()

    def _owes(self) -> bool:
        """Whether something asked here is still to be answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _keep_alive(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _begin(self) -> None:
        """The head is here: off with the request by ASGI."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError) as error:
            raise no_path() from error
        # What trailers say comes too late to be believed: it must not stand among the headers.
        self.headers = []

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(*why(error))
            return
        if self._stage:
            self._unfinished(len(data))
        elif self.timeout_keep_alive_task is None and not self._owes():
            self._keep_alive()

    def _stay(self, rest: bytes) -> None:
        """Read a request that asks for another protocol, and goes on with `rest`, as if it did not."""
        # The parser has taken it to be without a body, which would be read as the next request.
        head = without_upgrade(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        self._upgrades = False
        self._feed(head + rest)

    def _unfinished(self, size: int) -> None:
        """The parser has taken `size` bytes, and is in the midst of a message."""
        if not self._since_s:
            self._since_s, self._fruitless = self.loop.time(), 0
            return
        self._fruitless += size
        if self._fruitless > HEAD_BYTES:
            self._refuse(too_large("head" if self._stage is _HEAD else "trailer"))

    def _go_on(self) -> None:
        self.flow.full = False
        data, self._held = self._held, b""
        if data and not self.transport.is_closing():
            self.data_received(data)
            self.flow.resume_reading()

    def _refuse(self, problem: Problem, cause: Exception | None = None) -> None:
        """Answer a message that cannot be read, once those before it are answered; read no more."""
        own = self.cycle if self._stage is _BODY else None
        self._stage, self._since_s, self._held = _OVER, 0.0, b""
        self._refused = _Refused(problem, own, cause)
        waits = bool(self.pipeline) if own is not None else Edge._owes(self)
        if own is not None and waits:
            self.pipeline.popleft()
        if not waits:
            # Not at once: what this turn of the event loop answers goes first.
            self.loop.call_soon(self._say)

    def _say(self) -> None:
        """Tell what was refused, if the request was not told something already, and end."""
        refused, self._refused = self._refused, None
        if refused is None or self.transport.is_closing():
            return
        own = refused.cycle
        if own is None or not own.response_complete:
            method, path = (own.scope["method"], own.scope["path"]) if own is not None else ("", "")
            told = self._flyball.refusing.unread(
                refused.problem, refused.cause, method=method, path=path, client=self.client, date=self.date()
            )
            self.transport.write(told)
        if own is not None:
            own.disconnected = True
            own.message_event.set()
        self._unset_keepalive_if_required()
        self._since_s = self.loop.time()
        self.transport.write_eof()
        self.flow.release()

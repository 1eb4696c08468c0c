"""HTTP with a short cut: a small predict request that is here in full is answered where it was
parsed (`turn`), with one write and without a task, an event or a scope. Everything else goes the ordinary way through ASGI.

Clients on a kept connection send the same head again and again. A head that was parsed once, and took the short way,
is known by its bytes from then on, and is not parsed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyball.serving.connections import Stage
from flyball.serving.edge import Edge
from flyball.serving.predicting import INLINE_BYTES
from flyball.serving.problem import Problem
from flyball.serving.requests import GONE
from flyball.serving.sockets import readable
from flyball.serving.turn import Small

if TYPE_CHECKING:
    from flyball.serving.served import Served


#: heads that are remembered, and their greatest length; what differs from request to request is not remembered.
_HEADS = 1024
_HEAD_BYTES = 1024
_UNIQUE = frozenset((b"x-request-id", b"traceparent", b"idempotency-key"))
#: while the worker drains, a connection without a request is kept open for this long: one may be on its way.
_FIRST_S = 1.0
_END = b"\r\n\r\n"

_BETWEEN = Stage.BETWEEN


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head, understood."""

    served: Served
    fields: Mapping[bytes, bytes]
    #: of the body.
    length: int


class Protocol(Edge):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deployed = self._flyball.deployed
        #: longer bodies go the ordinary way, which refuses those that are too long.
        self._longest = min(INLINE_BYTES, self._flyball.options.max_body_bytes)
        #: the model of the request being read, where it goes the short way.
        self._served: Served | None = None
        self._fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._last = False
        self._late: asyncio.TimerHandle | None = None
        #: whether a request waits for the end of this turn of the event loop.
        self._pending = False
        #: whether a request was answered since the timer of this connection was set.
        self._used = False
        #: whether any request went the short way.
        self._asked = False
        #: what the request parsed last may be known by.
        self._learnt: Head | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._flyball.draining:
            self._leave_later()

    def data_received(self, data: bytes) -> None:
        end = 0 if self._stage else data.find(_END, 0, _HEAD_BYTES) + len(_END)
        if end >= len(_END) and self._answered_again(data, end):
            return
        super().data_received(data)
        if self._learnt is not None:
            self._remember(data, end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection if it is idle; else after the answer that is due."""
        if self._served is not None or self._pending:
            self._last = True
        elif (self.cycle is None or self.cycle.response_complete) and (
            # Nothing was asked here yet, or it has come in part; or the next request has come since this loop's last look.
            (not self._asked and self.cycle is None)
            or self._stage is not _BETWEEN
            or readable(self.transport.get_extra_info("socket").fileno())
        ):
            self._leave_later()
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for the whole time; or else, what `_answered_again` saves, for a part of it: then once more."""
        if self._used or self._pending:
            self._keep_alive()
        else:
            super().timeout_keep_alive_handler()

    def on_body(self, body: bytes) -> None:
        if self._served is None:
            super().on_body(body)
        else:
            self._fruitless = 0
            self._parts.append(body)

    def on_message_complete(self) -> None:
        served = self._served
        if served is None:
            super().on_message_complete()
            return
        self._stage = _BETWEEN
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        fields = self._fields
        self._forget()
        if self.parser.should_keep_alive():
            self._learnt = Head(served, fields, len(body))
        else:
            self._last = True
        self._put(served, fields, body)

    def gone(self) -> bool:
        return self.transport.is_closing()

    def closes(self) -> bool:
        return self._last or self._flyball.draining

    def reply(self, content: bytes, *, close: bool) -> None:
        self._pending = False
        self.transport.write(content)
        self.server_state.total_requests += 1
        if close:
            self.transport.close()
            return
        self._used = True
        if self.timeout_keep_alive_task is None:
            self._keep_alive()

    def _put(self, served: Served, fields: Mapping[bytes, bytes], body: bytes) -> None:
        self._pending = self._asked = True
        self._flyball.turn.put(Small(served, fields, body, self), self.loop)

    def _answered_again(self, data: bytes, end: int) -> bool:
        """Answer `data`, whose head ends at `end`, if it is one whole request with a known head."""
        head = self._deployed.heads.get(data[:end])
        if (
            head is None
            or len(data) != end + head.length
            or self._pending
            or self.closes()
            or self.flow.write_paused
            or not (self.cycle is None or self.cycle.response_complete)
        ):
            return False
        self._put(head.served, head.fields, data[end:])
        return True

    def _remember(self, data: bytes, end: int) -> None:
        """Know the head of the one whole request that `data` was, if it was."""
        head, heads, self._learnt = self._learnt, self._deployed.heads, None
        if head is None or end < len(_END) or len(data) != end + head.length or not _UNIQUE.isdisjoint(head.fields):
            return
        if len(heads) >= _HEADS:
            heads.clear()
        heads[data[:end]] = head

    def _keep_alive(self) -> None:
        self._used = False
        super()._keep_alive()

    def _owes(self) -> bool:
        return self._pending or self._served is not None or super()._owes()

    def _begin(self) -> None:
        served = self._deployed.direct.get(self.url) or self._deployed.guarded.get(self.url)
        if served is not None and self._may_be_short() and self._may_enter(served):
            self._served = served
        else:
            super()._begin()
            # The task that reads it has only been made.
            self.scope[GONE] = self.gone  # type: ignore[literal-required]

    def _unfinished(self, size: int) -> None:
        if self._served is not None and self._late is None:
            # Only a body that comes in pieces needs a timer, and can be seen in flight.
            self._flyball.begun(1)
            self._late = self.loop.call_later(self._flyball.options.timeout_s, self._too_late)
        super()._unfinished(size)

    def _leave_later(self) -> None:
        self.loop.call_later(_FIRST_S, self._leave)

    def _leave(self) -> None:
        if self._served is None and not self._pending:
            super().shutdown()

    def _may_be_short(self) -> bool:
        """A POST whose small body is announced, with nothing before it still to be answered."""
        fields = self._fields = dict(self.headers)
        declared = fields.get(b"content-length", b"")
        return (
            self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and declared.isdigit()
            and int(declared) <= self._longest
            and not self._pending
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and b"content-encoding" not in fields
        )

    def _may_enter(self, served: Served) -> bool:
        """Whether the token will do, where one is asked for; if not, the ordinary way tells why."""
        deployed = self._deployed
        return self.url in deployed.direct or deployed.door.refusal(self._fields, "predict", served.model) is None

    def _too_late(self) -> None:
        served, fields = self._served, self._fields
        assert served is not None  # else the timer would have been cancelled
        self._forget()
        problem = Problem("slow-body", f"the body was not complete after {self._flyball.options.timeout_s:g} s")
        self.transport.write(self._flyball.refusing.directly(problem, Small(served, fields, b"", self), close=True))
        self.transport.close()

    def _forget(self) -> None:
        self._served, self._fields, self._parts = None, {}, []
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self._flyball.begun(-1)

"""Small requests that are here in the same turn of the event loop are answered together at its end: one call of the
model, one write to the journal. Nobody waits for anybody: a turn ends when what the kernel had ready has been read.

Order of work, as in `answering`: contract, engine, journal, answer; shadows after the answer.
"""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

from flyball.engine.rows import MANY
from flyball.journal.line import about_one, encode_one, opening_at
from flyball.serving.problem import Problem
from flyball.serving.protocols.native import inputs_text, keys_and_times
from flyball.serving.requests import item_ids, request_id
from flyball.serving.served import response
from flyball.serving.shadows import Answered

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from flyball.serving.requests import Arrivals, Headers
    from flyball.serving.served import Served
    from flyball.serving.shadows import Shadows

#: JSON has no infinity and no NaN; an answer that is one is written as null, the ordinary way.
_HUGE = float("inf")


class Connection(Protocol):
    """Where a request came from, and its answer goes."""

    client: tuple[str, int] | None

    def gone(self) -> bool:
        """Whether nobody is there any more."""

    def closes(self) -> bool:
        """Whether the next answer is the last one."""

    def date(self) -> bytes:
        """The header lines that every answer has."""

    def reply(self, content: bytes, *, close: bool) -> None:
        """Send the whole answer."""


class Small(NamedTuple):
    """A small predict request of the native protocol, whole."""

    served: Served
    fields: Headers
    body: bytes
    connection: Connection


class _Usual(NamedTuple):
    """One of a single row, understood; its row is in `Served.rows`."""

    small: Small
    text: bytes
    id: str
    asked_by: str
    keys: list[str] | None
    timestamp: str


class _Moment(NamedTuple):
    """When a turn's requests came: one look at the clock does for all of them."""

    #: nanoseconds since 1970, and the same as a stamp.
    at_ns: int
    stamp: str
    #: on the clock that latencies are measured by.
    started: float


class Turn:
    """The requests of the turn under way."""

    def __init__(self, arrivals: Arrivals, shadows: Shadows, alone: Callable[[Small], None]) -> None:
        """`alone` answers a request by itself: one with anything to be said against it, or with more than one row."""
        self._arrivals = arrivals
        self._shadows = shadows
        self._alone = alone
        self._asked: list[Small] = []

    def put(self, small: Small, loop: asyncio.AbstractEventLoop) -> None:
        """Answer it when the turn has ended."""
        self._asked.append(small)
        if len(self._asked) == 1:
            loop.call_soon(self._end)

    def _end(self) -> None:
        asked, self._asked = self._asked, []
        at_ns = time.time_ns()
        moment = _Moment(at_ns, self._arrivals.stamp(at_ns), time.perf_counter())
        for served, found in groupby(asked, key=_served):
            some = list(found)
            for start in range(0, len(some), MANY):
                self._together(served, some[start : start + MANY], moment)

    def _together(self, served: Served, some: Sequence[Small], moment: _Moment) -> None:
        usual: list[_Usual] = []
        for small in some:
            if small.connection.gone():
                continue
            understood = self._understood(small, moment)
            if understood is None:
                self._alone(small)
            else:
                usual.append(understood)
        if not usual:
            return
        assert served.rows is not None
        try:
            scores = served.rows.scores()
        except Exception:  # noqa: BLE001 - whoever of them it was: the others are not to suffer for it
            scores = []
        if len(scores) != len(usual) or not all(-_HUGE < score < _HUGE for score in scores):
            for item in usual:
                self._alone(item.small)
        else:
            self._conclude(served, usual, scores, moment)

    def _understood(self, small: Small, moment: _Moment) -> _Usual | None:
        """None where there is anything to be said against it, or more than one row in it."""
        served = small.served
        if served.rows is None or len(small.body) > served.rows.longest_text:
            return None
        made = self._arrivals.new_id(moment.at_ns)
        try:
            value = orjson.loads(small.body)
            inputs = value["inputs"]
            keys, timestamp = keys_and_times(value, 1, moment.at_ns / 1e9)
            ids = item_ids(small.fields, served.model, made, 1)
        except (orjson.JSONDecodeError, TypeError, KeyError, Problem):
            return None
        if type(inputs) is not list or len(inputs) != 1 or not served.rows.put(inputs[0]):
            return None
        at = timestamp[0] if isinstance(timestamp, list) else timestamp
        return _Usual(
            small,
            inputs_text(small.body, value) or orjson.dumps(inputs),
            ids[0],
            request_id(small.fields, made),
            keys,
            at or moment.stamp,
        )

    def _conclude(self, served: Served, usual: Sequence[_Usual], scores: Sequence[float], moment: _Moment) -> None:
        """Journal, count, answer."""
        said = [repr(score).encode() for score in scores]
        latency_ms = (time.perf_counter() - moment.started) * 1000
        opening = opening_at(served.journal_opening, latency_ms)
        about = [
            about_one(
                request_id=item.asked_by,
                id=item.id,
                timestamp=item.timestamp,
                received_at=moment.stamp,
                key=item.keys,
            )
            for item in usual
        ]
        lines = [
            encode_one(opening, about_it, inputs=item.text, score=score)
            for item, about_it, score in zip(usual, about, said, strict=True)
        ]
        fates = served.journal.append_all(lines, served.counts)
        # Counted before they are sent: a worker killed in between has counted one too many, never one too few.
        for fate in set(fates):
            served.counts.singles(fates.count(fate), time.perf_counter() - moment.started, fate)
        if served.shadows:
            assert served.rows is not None
            rows = len(usual)
            self._shadows.put(Answered(served, served.rows.packed(rows), about, [1] * rows, rows))
        for item, score in zip(usual, said, strict=True):
            small = item.small
            answer = b'%b[%b],"ids":["%b"]}' % (served.head, score, item.id.encode())
            close = small.connection.closes()
            content = response(served, small.fields, item.asked_by, answer, close=close, date=small.connection.date())
            small.connection.reply(content, close=close)


def _served(small: Small) -> Served:
    return small.served

"""From a predict request to its answer, in any protocol; heavy ones wait their turn (`queueing`).

Small ones that come together are answered by `turn`, but for those that it leaves to `Predicting.alone`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from flyball.serving.answer import Answer
from flyball.serving.answering import Answering, score
from flyball.serving.problem import Problem
from flyball.serving.protocols.dialect import score_in
from flyball.serving.protocols.dialects import NATIVE
from flyball.serving.queueing import Piece, Queue
from flyball.serving.requests import item_ids, request_id
from flyball.serving.served import LIVE, response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from flyball.engine.contract import Prediction
    from flyball.serving.options import Options
    from flyball.serving.protocols.dialect import Dialect, Encode
    from flyball.serving.protocols.native import Asked
    from flyball.serving.refusing import Refusing
    from flyball.serving.requests import Arrival, Arrivals
    from flyball.serving.served import Served
    from flyball.serving.shadows import Shadows
    from flyball.serving.turn import Small

#: larger bodies are decoded and scored in a thread, so that one large batch does not hold up the others.
INLINE_BYTES = 512 * 1024

#: rows up to which a header repeats their ids, in protocols whose answers have no place for them.
MOST_IDS = 100

Result = TypeVar("Result")


class Predicting:
    """One worker's predictions. Everything here runs on its event loop, but for large batches."""

    def __init__(
        self, options: Options, arrivals: Arrivals, shadows: Shadows, refusing: Refusing, executor: Executor
    ) -> None:
        """`executor`: the thread for large batches."""
        self._timeout_s = options.timeout_s
        self._arrivals = arrivals
        self._answering = Answering(shadows, arrivals)
        self._refusing = refusing
        #: who waits for the event loop, and who for the thread.
        self._inline = Queue(options.timeout_s, options.max_waiting)
        self._aside = Queue(options.timeout_s, options.max_waiting, executor)

    async def predict(self, served: Served, dialect: Dialect, came: Arrival, body: bytes) -> Answer:
        """Raises `Problem`, or ConnectionAbortedError when the client goes away meanwhile."""
        if dialect is not NATIVE or served.gathering is not None:
            return await self._predict_in(dialect, served, came, body)
        started, at_ns = time.perf_counter(), time.time_ns()
        scored = await self._turn(partial(score, served, body, at_ns / 1e9), len(body), came)
        answer = self._answering.conclude(served, came.headers, came.asked_by, came.made, scored, at_ns, started)
        if served.durable:
            await served.journal.settled(self._timeout_s)
        return Answer(body=answer, headers=served.headers)

    def alone(self, small: Small) -> None:
        """Answer a small request by itself, in its turn: it may be a thousand rows."""
        connection = small.connection

        def answer() -> None:
            close = connection.closes()
            connection.reply(self.directly(small, close=close), close=close)

        def refuse(error: Exception) -> None:
            if isinstance(error, Problem):
                close = connection.closes()
                connection.reply(self._refusing.directly(error, small, close=close), close=close)

        self._inline.put(Piece(answer, _done, refuse, connection.gone, len(small.body), time.monotonic()))

    def directly(self, small: Small, *, close: bool) -> bytes:
        """`predict` for a small body of the native protocol: the whole HTTP response, whatever becomes of it."""
        served, headers = small.served, small.fields
        started, at_ns = time.perf_counter(), time.time_ns()
        made = self._arrivals.new_id(at_ns)
        asked_by = request_id(headers, made)
        try:
            scored = score(served, small.body, at_ns / 1e9)
            answer = self._answering.conclude(served, headers, asked_by, made, scored, at_ns, started)
        except Exception as error:  # noqa: BLE001 - the edge, as in `App`
            return self._refusing.directly(error, small, close=close)
        return response(served, headers, asked_by, answer, close=close, date=small.connection.date())

    async def _predict_in(self, dialect: Dialect, served: Served, came: Arrival, body: bytes) -> Answer:
        """The same in another protocol than the native one: another decoding, another encoding, nothing else."""
        started, at_ns = time.perf_counter(), time.time_ns()
        scored, encode = await self._scored(dialect, served, came, body, at_ns / 1e9)
        headers, made = came.headers, came.made
        ids = item_ids(headers, served.model, made, scored[0].rows)
        answer = encode(scored[1], served.version, ids)
        self._answering.conclude(served, headers, came.asked_by, made, scored, at_ns, started, said=answer.body)
        if served.durable:
            await served.journal.settled(self._timeout_s)
        about = [*answer.headers, *served.headers]
        if len(ids) <= MOST_IDS:
            about.append((b"x-flyball-ids", ",".join(ids).encode()))
        if dialect.variant_header is not None:
            about.append((dialect.variant_header, LIVE.encode()))
        return replace(answer, headers=about)

    async def _scored(
        self, dialect: Dialect, served: Served, came: Arrival, body: bytes, now_s: float
    ) -> tuple[tuple[Asked, Prediction], Encode]:
        """`score_in`; where the model answers from a process of its own, several requests at a time."""
        engine, headers = served.engine, came.headers
        if served.gathering is None:
            return await self._turn(partial(score_in, dialect, engine, body, headers, now_s), len(body), came)
        decode = partial(dialect.decode, body, headers, engine.contract, now_s)
        asked, encode = await self._turn(decode, len(body), came)
        return (asked, await served.gathering.predict(asked.columns)), encode

    def _turn(self, work: Callable[[], Result], size: int, came: Arrival) -> Awaitable[Result]:
        queue = self._inline if size <= INLINE_BYTES else self._aside
        return queue.turn(work, size, came.gone)


def _done(_: object) -> None:
    """The answer has left already."""

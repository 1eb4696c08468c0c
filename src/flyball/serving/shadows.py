"""Shadow versions score what was answered, after the answer has left; what cannot be done in time is shed and counted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flyball.engine.contract import rows_of
from flyball.engine.session import as_table
from flyball.journal.line import encode_one, encode_predictions, opening_at, opening_of_one
from flyball.serving.batching import apart, merged
from flyball.serving.served import SHADOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flyball.engine.contract import Columns, Prediction
    from flyball.engine.session import Engine
    from flyball.serving.metrics import Metrics
    from flyball.serving.served import Served
    from flyball.serving.writing import Writer

#: requests, and rows of them, that may wait for their shadows.
MAX_WAITING = 1024
MAX_WAITING_ROWS = 64 * 1024
#: requests are scored together up to this many rows; larger ones in a thread, so that answers need not wait for them.
INLINE_ROWS = 128
#: shadows follow so long after an answer: by then others have come, and what a batch costs is shared by more.
LAG_S = 0.005


class Request(NamedTuple):
    """What a shadow's line says of a request, besides the shadow's answer.

    Not the rows: they stand in the live answer's line, which has the same ids.
    """

    ids: list[str]
    keys: list[str] | None
    timestamp: str | list[str]
    received_at: str
    request_id: str


class Answered(NamedTuple):
    """Requests that were answered together, and are scored together."""

    served: Served
    #: the rows of all requests, in their order.
    columns: Columns
    requests: Sequence[Request]
    rows: int


class Shadows:
    """The queue of requests that shadows have still to score, and the task that works through it."""

    def __init__(self, journal: Writer, metrics: Metrics, executor: Executor) -> None:
        self._journal = journal
        self._metrics = metrics
        self._executor = executor
        self._queue: deque[Answered] = deque()
        #: requests in the queue, and their rows.
        self._waiting = self._rows = 0
        #: those whose shadow is native, and being asked.
        self._gathered: set[asyncio.Task[None]] = set()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, answered: Answered) -> None:
        count = len(answered.requests)
        full = self._rows and self._rows + answered.rows > MAX_WAITING_ROWS
        if full or self._waiting + len(self._gathered) + count > MAX_WAITING:
            self._metrics.shadow("shed", count)
            return
        self._queue.append(answered)
        self._waiting += count
        self._rows += answered.rows
        self._idle.clear()
        self._some.set()

    async def run(self) -> None:
        """Score for ever, answers first: between two batches the event loop has its turn."""
        while True:
            await self._some.wait()
            await asyncio.sleep(LAG_S)
            self._some.clear()
            while self._queue:
                answered = self._next()
                for number, engine in answered.served.shadows:
                    if number in answered.served.gatherings:
                        self._gather(answered, number, engine)
                    else:
                        await self._score(answered, number, engine)
                await asyncio.sleep(0)
            self._settle()

    def _next(self) -> Answered:
        """What has waited longest, as much of it as is scored together."""
        batch = [self._queue.popleft()]
        served, rows = batch[0].served, batch[0].rows
        # A native version shares calls by itself.
        while not served.gatherings and self._queue and self._queue[0].served is served:
            if rows + self._queue[0].rows > INLINE_ROWS:
                break
            batch.append(self._queue.popleft())
            rows += batch[-1].rows
        self._rows -= rows
        if len(batch) > 1:
            layout = served.engine.contract.layout
            columns = merged([as_table(layout, item.columns) for item in batch])
            batch = [Answered(served, columns, [request for item in batch for request in item.requests], rows)]
        self._waiting -= len(batch[0].requests)
        return batch[0]

    def _gather(self, answered: Answered, number: int, engine: Engine) -> None:
        """Score without waiting for it: requests for a native model share its calls."""
        task = asyncio.create_task(self._score(answered, number, engine))
        self._gathered.add(task)
        task.add_done_callback(self._gathered.discard)
        task.add_done_callback(self._settle)

    def _settle(self, _: object = None) -> None:
        if not self._queue and not self._gathered:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until nothing is waiting."""
        await self._idle.wait()

    def settled(self, rows: int, *, written: bool) -> None:
        """What became of a line that had to wait."""
        del rows  # counted by request
        self._metrics.shadow("written" if written else "dropped")

    async def _score(self, answered: Answered, number: int, engine: Engine) -> None:
        started = time.perf_counter()
        try:
            found = await self._predicted(answered, number, engine)
        except Exception:  # noqa: BLE001 - a shadow's failure is its own; it is counted
            await self._failed(answered, number, engine)
            return
        fates = self._journal.append_all(_lines(answered, number, found, time.perf_counter() - started), self)
        for fate in set(fates) - {"waiting"}:
            self._metrics.shadow(fate, fates.count(fate))

    async def _failed(self, answered: Answered, number: int, engine: Engine) -> None:
        """Whichever request it was: the others are not to suffer for it."""
        if len(answered.requests) == 1:
            self._metrics.shadow("failed")
            return
        start, table = 0, as_table(answered.served.engine.contract.layout, answered.columns)
        for request in answered.requests:
            stop = start + len(request.ids)
            await self._score(
                Answered(answered.served, rows_of(table, start, stop), [request], stop - start), number, engine
            )
            start = stop

    async def _predicted(self, answered: Answered, number: int, engine: Engine) -> Prediction:
        if (gathering := answered.served.gatherings.get(number)) is not None:
            return await gathering.predict(answered.columns)
        if answered.rows <= INLINE_ROWS:
            return engine.predict(answered.columns)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, engine.predict, answered.columns)


def _lines(answered: Answered, number: int, found: Prediction, seconds: float) -> list[bytes]:
    """One for each request."""
    served, latency_ms = answered.served, seconds * 1000
    singles = not served.multiclass and all(len(item.ids) == 1 for item in answered.requests)
    if not (singles and np.isfinite(found.score).all()):
        return list(_careful_lines(answered, number, found, latency_ms))
    opening = opening_of_one(**_version(served, number))
    return [
        encode_one(
            opening_at(opening, received_at=item.received_at, latency_ms=latency_ms),
            request_id=item.request_id,
            id=item.ids[0],
            timestamp=item.timestamp if type(item.timestamp) is str else item.timestamp[0],
            key=item.keys,
            inputs=None,
            score=repr(score).encode(),
        )
        for item, score in zip(answered.requests, found.score.tolist(), strict=True)
    ]


def _careful_lines(answered: Answered, number: int, found: Prediction, latency_ms: float) -> Iterator[bytes]:
    """Of any number of rows, of any task, and with scores that are no numbers."""
    sizes = [len(item.ids) for item in answered.requests]
    for item, part in zip(answered.requests, apart(found, sizes), strict=True):
        yield encode_predictions(
            **_version(answered.served, number),
            request_id=item.request_id,
            ids=item.ids,
            timestamp=item.timestamp,
            received_at=item.received_at,
            latency_ms=latency_ms,
            key=item.keys,
            features={},
            prediction=part.prediction,
            score=part.score,
        )


def _version(served: Served, number: int) -> dict[str, Any]:
    """What a line says of who answered."""
    return {
        "model": served.model,
        "version": number,
        "variant": SHADOW,
        "role": "shadow",
        "source": "http",
        "generation": served.generation,
    }

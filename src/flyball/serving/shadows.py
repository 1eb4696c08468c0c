"""Shadow versions score what was answered, after the answer has left; what cannot be done in time is shed and counted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from typing import TYPE_CHECKING, NamedTuple

from flyball.engine.contract import rows_of
from flyball.engine.rows import Packed, unpacked
from flyball.engine.session import as_table
from flyball.journal.line import encode_answer, encode_values, opening_at, opening_of
from flyball.serving.batching import apart, merged
from flyball.serving.served import SHADOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flyball.engine.contract import Columns, Prediction, Table
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
#: JSON has no infinity and no NaN.
_HUGE = float("inf")


class Answered(NamedTuple):
    """Requests that were answered together, and are scored together."""

    served: Served
    #: the rows of all requests, in their order.
    columns: Columns | Packed
    #: what a line says of each request, besides the answer: `journal.line.about`. Not the rows: they stand in the live
    #: answer's line, which has the same ids. Bytes, because what waits by the thousand must not burden the collector.
    about: list[bytes]
    #: rows of each request, and of all.
    sizes: list[int]
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
        count, rows = len(answered.about), answered.rows
        full = self._rows and self._rows + rows > MAX_WAITING_ROWS
        if full or self._waiting + len(self._gathered) + count > MAX_WAITING:
            self._metrics.shadow("shed", count)
            return
        self._queue.append(answered)
        self._waiting += count
        self._rows += rows
        self._idle.clear()
        self._some.set()

    async def run(self) -> None:
        """Score for ever, answers first: between two batches the event loop has its turn."""
        while True:
            await self._some.wait()
            await asyncio.sleep(LAG_S)
            self._some.clear()
            due = self._waiting
            # What came meanwhile follows as late, unless it is enough for a batch already.
            while self._queue and (due > 0 or self._rows >= INLINE_ROWS):
                answered = self._next()
                due -= len(answered.about)
                for number, engine in answered.served.shadows:
                    if number in answered.served.gatherings:
                        self._gather(answered, number, engine)
                    else:
                        await self._score(answered, number, engine)
                await asyncio.sleep(0)
            if self._queue:
                self._some.set()
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
        about = [said for item in batch for said in item.about]
        sizes = [size for item in batch for size in item.sizes]
        self._rows -= rows
        self._waiting -= len(about)
        return Answered(served, _table(served, batch), about, sizes, rows)

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
        if len(answered.about) == 1:
            self._metrics.shadow("failed")
            return
        start, table = 0, _table(answered.served, [answered])
        for about, size in zip(answered.about, answered.sizes, strict=True):
            one = Answered(answered.served, rows_of(table, start, start + size), [about], [size], size)
            await self._score(one, number, engine)
            start += size

    async def _predicted(self, answered: Answered, number: int, engine: Engine) -> Prediction:
        table = _table(answered.served, [answered])
        if (gathering := answered.served.gatherings.get(number)) is not None:
            return await gathering.predict(table)
        if table.rows <= INLINE_ROWS:
            return engine.predict(table)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, engine.predict, table)


def _table(served: Served, batch: Sequence[Answered]) -> Table:
    """The rows of all of them, in order."""
    layout = served.engine.contract.layout
    packed = [item.columns for item in batch if isinstance(item.columns, Packed)]
    if len(packed) == len(batch):
        return unpacked(layout, packed)
    return merged(
        [
            unpacked(layout, [item.columns]) if isinstance(item.columns, Packed) else as_table(layout, item.columns)
            for item in batch
        ]
    )


def _lines(answered: Answered, number: int, found: Prediction, seconds: float) -> list[bytes]:
    """One for each request."""
    served = answered.served
    opening = opening_of(
        model=served.model,
        version=number,
        variant=SHADOW,
        role="shadow",
        source="http",
        generation=served.generation,
    )
    opening = opening_at(opening, seconds * 1000)
    return [
        encode_answer(opening, about, prediction=prediction, score=score)
        for about, (prediction, score) in zip(answered.about, _said(found, answered.sizes), strict=True)
    ]


def _said(found: Prediction, sizes: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    """Prediction and score of each request, in JSON."""
    if found.prediction is found.score and sizes.count(1) == len(sizes):
        scores = found.score.tolist()
        if all(-_HUGE < score < _HUGE for score in scores):
            for score in scores:
                one = b"[%a]" % score
                yield one, one
            return
    for part in apart(found, sizes):
        yield encode_values(part.prediction), encode_values(part.score)

"""Shadow versions score what was answered, after the answer has left; what cannot be done in time is shed and counted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flyball.engine.session import as_table
from flyball.journal.line import encode_one, encode_predictions, opening_at, opening_of_one
from flyball.serving.batching import apart, merged
from flyball.serving.served import SHADOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyball.engine.contract import Columns, Prediction
    from flyball.engine.session import Engine
    from flyball.serving.metrics import Metrics
    from flyball.serving.served import Served
    from flyball.serving.writing import Writer

#: requests, and rows of them, that may wait for their shadows.
MAX_WAITING = 1024
MAX_WAITING_ROWS = 64 * 1024
#: requests are scored together up to this many rows; larger ones in a thread, so that answers need not wait for them.
INLINE_ROWS = 500


@dataclass(slots=True)
class Answered:
    """What a shadow needs of a request that was answered."""

    served: Served
    columns: Columns
    ids: list[str]
    keys: list[str] | None
    timestamp: str | list[str]
    received_at: str
    request_id: str
    #: the rows as the journal may keep them (`native.Asked.text`).
    text: bytes | None


class Shadows:
    """The queue of requests that shadows have still to score, and the task that works through it."""

    def __init__(self, journal: Writer, metrics: Metrics, executor: Executor) -> None:
        self._journal = journal
        self._metrics = metrics
        self._executor = executor
        self._waiting: deque[Answered] = deque()
        self._rows = 0
        #: those whose shadow is native, and being asked.
        self._gathered: set[asyncio.Task[None]] = set()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, answered: Answered) -> None:
        full = self._rows + len(answered.ids) > MAX_WAITING_ROWS and self._rows
        if full or len(self._waiting) + len(self._gathered) >= MAX_WAITING:
            self._metrics.shadow("shed")
            return
        self._waiting.append(answered)
        self._rows += len(answered.ids)
        self._idle.clear()
        self._some.set()

    async def run(self) -> None:
        """Score for ever, answers first: between two batches the event loop has its turn."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                batch = self._next()
                served = batch[0].served
                for number, engine in served.shadows:
                    if number in served.gatherings:
                        for answered in batch:
                            self._gather(answered, number, engine)
                    else:
                        await self._score(batch, number, engine)
                await asyncio.sleep(0)
            self._settle()

    def _next(self) -> list[Answered]:
        """The requests that have waited longest, as many as are scored together."""
        batch = [self._waiting.popleft()]
        served, rows = batch[0].served, len(batch[0].ids)
        while self._waiting and self._waiting[0].served is served:
            rows += len(self._waiting[0].ids)
            if rows > INLINE_ROWS:
                break
            batch.append(self._waiting.popleft())
        self._rows -= sum(len(answered.ids) for answered in batch)
        return batch

    def _gather(self, answered: Answered, number: int, engine: Engine) -> None:
        """Score without waiting for it: requests for a native model share its calls."""
        task = asyncio.create_task(self._score([answered], number, engine))
        self._gathered.add(task)
        task.add_done_callback(self._gathered.discard)
        task.add_done_callback(self._settle)

    def _settle(self, _: object = None) -> None:
        if not self._waiting and not self._gathered:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until nothing is waiting."""
        await self._idle.wait()

    def settled(self, rows: int, *, written: bool) -> None:
        """What became of a line that had to wait."""
        del rows  # counted by request
        self._metrics.shadow("written" if written else "dropped")

    async def _score(self, batch: Sequence[Answered], number: int, engine: Engine) -> None:
        started = time.perf_counter()
        try:
            found = await self._predicted(batch, number, engine)
        except Exception:  # noqa: BLE001 - a shadow's failure is its own; it is counted
            for answered in batch if len(batch) > 1 else ():
                await self._score([answered], number, engine)
            if len(batch) == 1:
                self._metrics.shadow("failed")
            return
        lines = _lines(batch, number, found, (time.perf_counter() - started) * 1000)
        for fate in self._journal.append_all(lines, self):
            if fate != "waiting":
                self._metrics.shadow(fate)

    async def _predicted(self, batch: Sequence[Answered], number: int, engine: Engine) -> Prediction:
        """Of all rows of the batch, one after the other."""
        if (gathering := batch[0].served.gatherings.get(number)) is not None:
            return await gathering.predict(batch[0].columns)
        table = merged([as_table(engine.contract.layout, answered.columns) for answered in batch])
        if table.rows <= INLINE_ROWS:
            return engine.predict(table)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, engine.predict, table)


def _lines(batch: Sequence[Answered], number: int, found: Prediction, latency_ms: float) -> list[bytes]:
    """One for each request."""
    served = batch[0].served
    singles = not served.multiclass and all(item.text is not None and len(item.ids) == 1 for item in batch)
    if not (singles and served.verbatim and np.isfinite(found.score).all()):
        parts = apart(found, [len(item.ids) for item in batch])
        return [_line(item, number, part, latency_ms) for item, part in zip(batch, parts, strict=True)]
    opening = opening_of_one(
        model=served.model,
        version=number,
        variant=SHADOW,
        role="shadow",
        source="http",
        generation=served.generation,
    )
    return [
        encode_one(
            opening_at(opening, received_at=item.received_at, latency_ms=latency_ms),
            request_id=item.request_id,
            id=item.ids[0],
            timestamp=item.timestamp if type(item.timestamp) is str else item.timestamp[0],
            key=item.keys,
            inputs=item.text or b"",
            score=repr(score).encode(),
        )
        for item, score in zip(batch, found.score.tolist(), strict=True)
    ]


def _line(answered: Answered, number: int, prediction: Prediction, latency_ms: float) -> bytes:
    served = answered.served
    text = answered.text if served.verbatim else None
    return encode_predictions(
        model=served.model,
        version=number,
        variant=SHADOW,
        role="shadow",
        source="http",
        generation=served.generation,
        request_id=answered.request_id,
        ids=answered.ids,
        timestamp=answered.timestamp,
        received_at=answered.received_at,
        latency_ms=latency_ms,
        key=answered.keys,
        features=served.kept(answered.columns) if text is None else {},
        inputs=text,
        prediction=prediction.prediction,
        score=prediction.score,
    )

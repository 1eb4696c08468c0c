"""Shadow versions score what was answered, after the answer has left; what cannot be done in time is shed and counted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball.journal.line import encode_predictions
from flyball.serving.served import SHADOW

if TYPE_CHECKING:
    from flyball.engine.contract import Columns, Prediction
    from flyball.engine.session import Engine
    from flyball.serving.metrics import Metrics
    from flyball.serving.served import Served
    from flyball.serving.writing import Writer

#: requests that may wait for their shadows.
MAX_WAITING = 64
#: larger batches are scored in a thread, so that answers need not wait for them.
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


class Shadows:
    """The queue of requests that shadows have still to score, and the task that works through it."""

    def __init__(self, journal: Writer, metrics: Metrics, executor: Executor) -> None:
        self._journal = journal
        self._metrics = metrics
        self._executor = executor
        self._waiting: deque[Answered] = deque()
        #: those whose shadow is native, and being asked.
        self._gathered: set[asyncio.Task[None]] = set()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, answered: Answered) -> None:
        if len(self._waiting) + len(self._gathered) >= MAX_WAITING:
            self._metrics.shadow("shed")
            return
        self._waiting.append(answered)
        self._idle.clear()
        self._some.set()

    async def run(self) -> None:
        """Score for ever, one request at a time, answers first."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                answered = self._waiting.popleft()
                for number, engine in answered.served.shadows:
                    if number in answered.served.gatherings:
                        self._gather(answered, number, engine)
                    else:
                        await self._score(answered, number, engine)
                await asyncio.sleep(0)
            self._settle()

    def _gather(self, answered: Answered, number: int, engine: Engine) -> None:
        """Score without waiting for it: requests for a native model share its calls."""
        task = asyncio.create_task(self._score(answered, number, engine))
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

    async def _score(self, answered: Answered, number: int, engine: Engine) -> None:
        started = time.perf_counter()
        try:
            if (gathering := answered.served.gatherings.get(number)) is not None:
                prediction = await gathering.predict(answered.columns)
            elif len(answered.ids) <= INLINE_ROWS:
                prediction = engine.predict(answered.columns)
            else:
                loop = asyncio.get_running_loop()
                prediction = await loop.run_in_executor(self._executor, engine.predict, answered.columns)
        except Exception:  # noqa: BLE001 - a shadow's failure is its own; it is counted
            self._metrics.shadow("failed")
            return
        latency_ms = (time.perf_counter() - started) * 1000
        fate = self._journal.append(_line(answered, number, prediction, latency_ms), self, 1)
        if fate != "waiting":
            self._metrics.shadow(fate)


def _line(answered: Answered, number: int, prediction: Prediction, latency_ms: float) -> bytes:
    served = answered.served
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
        features=served.kept(answered.columns),
        prediction=prediction.prediction,
        score=prediction.score,
    )

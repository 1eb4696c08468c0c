"""Requests for a native model gather while a call is under way, and go together in the next one.

A native model takes nearly as long for one row as for a hundred. Nothing waits for company: a request that finds the
model idle is asked at once. The core is pure; `Gathering` is its shell on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from flyball.engine.contract import Columns, Prediction, Table
from flyball.engine.native import ModelAway, ModelFailed, ModelTooSlow
from flyball.engine.session import as_table
from flyball.serving.problem import Problem, later

if TYPE_CHECKING:
    from flyball.engine.native import NativeEngine

#: rows of requests that share a call; a larger request goes alone.
MAX_ROWS = 1024
#: rows that may wait; a request that finds others waiting and makes it more is refused (503).
MAX_WAITING_ROWS = 16 * MAX_ROWS


def how_many(rows: Iterable[int], most: int) -> int:
    """How many of the waiting requests, oldest first, go in the next call: at least one, and as many as fit."""
    total = count = 0
    for item in rows:
        total += item
        if count and total > most:
            break
        count += 1
    return count


def merged(tables: Sequence[Table]) -> Table:
    """Tables of one layout as one, in order."""
    if len(tables) == 1:
        return tables[0]
    numbers = np.concatenate([table.numbers for table in tables])
    return Table(tables[0].layout, numbers, np.concatenate([table.categories for table in tables]))


def apart(prediction: Prediction, rows: Iterable[int]) -> Iterator[Prediction]:
    """The answer to merged tables as one answer for each."""
    bounds = np.cumsum([0, *rows]).tolist()
    for start, stop in pairwise(bounds):
        yield Prediction(
            prediction=prediction.prediction[start:stop],
            score=prediction.score[start:stop],
            probabilities=None if prediction.probabilities is None else prediction.probabilities[start:stop],
        )


@dataclass(slots=True)
class _Waiting:
    table: Table
    answer: asyncio.Future[Prediction]


class Gathering:
    """The way to one native engine. Everything here runs on the event loop, but for the call itself."""

    def __init__(self, engine: NativeEngine, timeout_s: float) -> None:
        """`timeout_s`: of a request, waiting included; and of a call, after which the model's process is killed."""
        self._engine = engine
        self._timeout_s = timeout_s
        engine.process.timeout_s = timeout_s
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._driver: asyncio.Task[None] | None = None
        # A thread of its own: a model that hangs is nobody else's matter.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="native")

    async def predict(self, columns: Columns) -> Prediction:
        """As `Engine.predict`. Raises `Problem` (503, 504), or `ModelFailed`."""
        table = as_table(self._engine.contract.layout, columns)
        if self._waiting and self._rows + table.rows > MAX_WAITING_ROWS:
            raise later("overloaded", f"more than {MAX_WAITING_ROWS} rows are waiting for this model; come back soon")
        item = _Waiting(table, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._rows += table.rows
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        try:
            async with asyncio.timeout(self._timeout_s):
                return await item.answer
        except (TimeoutError, ModelTooSlow):
            raise Problem("too-slow", f"no answer within {self._timeout_s:g} s; send fewer rows") from None
        except ModelAway:
            raise later("model-away", "the model's process has died and is being started again") from None

    async def _drive(self) -> None:
        """Call after call, until nobody waits."""
        while self._waiting:
            count = how_many((item.table.rows for item in self._waiting), MAX_ROWS)
            taken = [self._waiting.popleft() for _ in range(count)]
            self._rows -= sum(item.table.rows for item in taken)
            # Who has given up meanwhile, or gone away, is not asked for.
            if asked := [item for item in taken if not item.answer.done()]:
                await self._call(asked)

    async def _call(self, asked: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            table = merged([item.table for item in asked])
            prediction = await loop.run_in_executor(self._thread, self._engine.predict, table)
        except ModelFailed as error:
            if len(asked) > 1:  # one of them is to blame: the others are not to suffer for it
                for item in asked:
                    await self._call([item])
            else:
                _fail(asked, error)
        except Exception as error:  # noqa: BLE001 - the edge: whoever asked is told
            _fail(asked, error)
        else:
            for item, part in zip(asked, apart(prediction, [item.table.rows for item in asked]), strict=True):
                if not item.answer.done():
                    item.answer.set_result(part)


def _fail(asked: Sequence[_Waiting], error: Exception) -> None:
    for item in asked:
        if not item.answer.done():
            item.answer.set_exception(error)

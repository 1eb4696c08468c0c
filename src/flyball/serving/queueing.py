"""Work that waits its turn, and how long it may have waited when its turn comes.

A queue that empties now and then is a burst, and waiting is right. One that has stood for a while only makes everybody
late: then whoever has waited long is sent away at once, so that those who are served are served in time. (Nichols and
Jacobson, Controlling Queue Delay, 2012; Maurer, Fail at Scale, 2015.)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from flyball.serving.problem import Problem, later

#: a queue that was not empty for this long is a standing one.
STANDING_S = 1.0
#: in a standing queue nobody waits longer than this, or than so many pieces of work take, whichever is more.
SHORT_S = 0.5
SHORT_PIECES = 8
#: the event loop looks at its sockets after this much work.
QUANTUM_S = 0.002
#: what waits takes at most this much memory; a request that finds others waiting and makes it more is refused.
MOST_BYTES = 64 * 2**20
#: weight of the newest piece in the running mean of what one takes.
_NEWEST = 0.2

Result = TypeVar("Result")


@dataclass(slots=True)
class Patience:
    """How long work may have waited when its turn comes. Pure: times are given, in seconds on one clock."""

    #: of a request, from its arrival to its answer.
    timeout_s: float
    #: when the queue was last empty.
    empty_at: float = 0.0
    #: what a piece of work takes, lately.
    piece_s: float = 0.0

    def limit_s(self, now: float) -> float:
        """Work that has waited longer is sent away."""
        if now - self.empty_at <= STANDING_S:
            return self.timeout_s
        return min(max(SHORT_S, SHORT_PIECES * self.piece_s), self.timeout_s)

    def done(self, seconds: float) -> None:
        """A piece of work took so long."""
        self.piece_s += _NEWEST * (seconds - self.piece_s)


class Piece(NamedTuple):
    """Work, and who waits for it. All but the work itself is called on the event loop."""

    work: Callable[[], Any]
    #: told what `work` answered; or what it raised, `Problem` 503 where it waits too long, ConnectionAbortedError if gone.
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    #: whether nobody waits any more; then it is not done.
    gone: Callable[[], bool]
    #: bytes it keeps in memory while it waits.
    size: int
    #: when it began to wait (monotonic).
    since: float


class Queue:
    """One piece of work after the other: on the event loop itself, which looks at its sockets in between, or on a thread."""

    def __init__(self, timeout_s: float, most: int, executor: Executor | None = None) -> None:
        """`timeout_s`: of a request, waiting included. `most`: that may wait. `executor`: the thread; None: the event loop."""
        self._timeout_s = timeout_s
        self._most = most
        self._executor = executor
        self._patience = Patience(timeout_s)
        self._waiting: deque[Piece] = deque()
        self._bytes = 0
        self._driver: asyncio.Task[None] | None = None
        #: seconds of work since the event loop last looked at its sockets.
        self._spent_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, piece: Piece) -> None:
        """Do it now, where the event loop has time and nobody waits; else in its turn."""
        if self._executor is None and not self._waiting and self._spent_s < QUANTUM_S:
            self._do(piece)
            return
        if len(self._waiting) >= self._most or (self._waiting and self._bytes + piece.size > MOST_BYTES):
            piece.failed(later("overloaded", f"{len(self._waiting)} requests are waiting; come back soon"))
            return
        if not self._waiting:
            self._patience.empty_at = piece.since
        self._waiting.append(piece)
        self._bytes += piece.size
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())

    async def turn(self, work: Callable[[], Result], size: int, gone: Callable[[], bool]) -> Result:
        """What `work` answers, when its turn has come; what it raises. `size`, `gone`: as in `Piece`.

        Raises `Problem`: 503 where the queue is too long, 504 where the time is over.
        """
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def given_up() -> bool:
            return result.done() or gone()

        def failed(error: Exception) -> None:
            if not result.done():
                result.set_exception(error)

        self.put(Piece(work, result.set_result, failed, given_up, size, time.monotonic()))
        if result.done():
            return result.result()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await result
        except TimeoutError:
            raise Problem("too-slow", f"no answer within {self._timeout_s:g} s; send fewer rows") from None

    async def _drive(self) -> None:
        while self._waiting:
            if self._spent_s >= QUANTUM_S:
                await asyncio.sleep(0)
            piece = self._waiting.popleft()
            self._bytes -= piece.size
            now = time.monotonic()
            limit_s = self._patience.limit_s(now)
            if not self._waiting:
                self._patience.empty_at = now
            if piece.gone():
                piece.failed(ConnectionAbortedError())
            elif now - piece.since > limit_s:
                piece.failed(later("overloaded", "more is asked than can be answered in time; come back soon"))
            elif self._executor is None:
                self._do(piece)
            else:
                await self._do_aside(piece, self._executor)

    def _do(self, piece: Piece) -> None:
        if not self._spent_s:
            asyncio.get_running_loop().call_soon(self._looked)
        began = time.monotonic()
        try:
            answer = piece.work()
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            piece.failed(error)
        else:
            piece.done(answer)
        seconds = time.monotonic() - began
        self._spent_s += seconds
        self._patience.done(seconds)

    async def _do_aside(self, piece: Piece, executor: Executor) -> None:
        began = time.monotonic()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(executor, piece.work)
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            piece.failed(error)
        else:
            if piece.gone():
                piece.failed(ConnectionAbortedError())
            else:
                piece.done(answer)
        self._patience.done(time.monotonic() - began)

    def _looked(self) -> None:
        self._spent_s = 0.0

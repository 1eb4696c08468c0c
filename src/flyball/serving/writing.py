"""How a worker's lines reach their segments: at once while the disk is quick; through a bounded buffer and a thread
while it is slow, and where a line must be on the disk itself before its answer leaves (many lines, one fsync).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from flyball.journal.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence


#: a write that takes longer turns the writer to its buffer.
SLOW_S = 0.05
#: a disk that was slow must have been quick for this long before it is written to directly again: every write that turns
#: out to be slow is one that answers waited for.
PROBATION_S = 1.0
#: a disk that has done nothing about what waits for this long is a fault.
LATE_S = 1.0
#: lines waiting for a slow disk take at most this much memory; further ones are dropped.
BUFFER_BYTES = 6 * 2**20
#: lines are written together up to this size.
BATCH_BYTES = 256 * 2**10
#: what a waiting line costs besides its bytes.
ENTRY_BYTES = 256
#: a worker that ends waits this long for what is still in its buffers.
CLOSE_S = 5.0

#: what has become of a line, or is still open.
Fate = Literal["written", "dropped", "waiting"]


class Tally(Protocol):
    """Who counts rows."""

    def settled(self, rows: int, *, written: bool) -> None:
        """What became of rows that were waiting. Called on the event loop."""


class Fault(NamedTuple):
    """What is wrong with a journal now."""

    #: whether records are lost; else they are only late.
    shedding: bool
    what: str


class _Entry(NamedTuple):
    line: bytes
    tally: Tally
    rows: int


class Writer:
    """One segment's way in, for one event loop. Whoever appends learns what became of the line, now or later.

    The segment belongs to the event loop while nothing waits, else to the thread; lines are written in order.
    """

    def __init__(self, segment: Segment, *, rotate_s: float, durable: bool = False, room: int = BUFFER_BYTES) -> None:
        """`durable`: a line counts as written only once it is on the disk itself."""
        self.segment = segment
        self._rotate_s = rotate_s
        self._durable = durable
        self._direct = not durable
        self._room = room
        self._full = False
        self._lines: deque[_Entry] = deque()
        self._some = threading.Condition()
        #: what the thread has done: entries, how many of them were written, whether it was quick about it.
        self._done: deque[tuple[list[_Entry], int, bool]] = deque()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        #: entries put and settled since the writer began; bytes of those between.
        self._put = self._settled = self._bytes = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        #: when something last went forward, while anything waits; and when the disk was last slow (monotonic).
        self._forward_at = 0.0
        self._slow_at = -PROBATION_S

    @property
    def fault(self) -> Fault | None:
        """What is wrong now; None where all is well. From any thread."""
        if error := self.segment.last_error:
            return Fault(True, f"sheds records: {error}")
        if self._full:
            return Fault(True, f"sheds records: writing is so slow that more than {self._room} bytes would wait")
        if self._settled < self._put and time.monotonic() - self._forward_at > LATE_S:
            return Fault(False, f"is written late: nothing went forward for {LATE_S:g} s")
        if not self._direct and not self._durable:
            return Fault(False, f"is written late: a write took more than {SLOW_S * 1000:g} ms")
        return None

    def append(self, line: bytes, tally: Tally, rows: int) -> Fate:
        """Write a `\\n`-terminated line, or have it written; `tally` is told later where it has to wait."""
        if not self._direct:
            return self._wait(line, tally, rows)
        started = time.monotonic()
        written = self.segment.append(line)
        if time.monotonic() - started > SLOW_S:
            self._turn_aside()
        return "written" if written else "dropped"

    def append_all(self, lines: Sequence[bytes], tally: Tally) -> list[Fate]:
        """`append` for lines of one row each, with one write where they are written at once."""
        if not self._direct:
            return [self._wait(line, tally, 1) for line in lines]
        started = time.monotonic()
        written = self.segment.append_all(lines)
        if time.monotonic() - started > SLOW_S:
            self._turn_aside()
        return ["written" if number < written else "dropped" for number in range(len(lines))]

    async def settled(self, timeout_s: float) -> None:
        """Return when all that was appended before has its fate, or after `timeout_s`."""
        if self._settled < self._put:
            done = asyncio.get_running_loop().create_future()
            self._waiters.append((self._put, done))
            await asyncio.wait((done,), timeout=timeout_s)

    def tend(self) -> None:
        """Write directly again, and begin a new segment, when it is time. Called now and then on the event loop."""
        if self._settled == self._put:
            self._direct = not self._durable and time.monotonic() - self._slow_at > PROBATION_S
            self.segment.rotate_if_older(self._rotate_s)

    def close(self, within_s: float = CLOSE_S) -> None:
        """Write what waits, as far as that is done in time; then let go. Called when the event loop has ended."""
        thread = self._thread
        if thread is not None:
            with self._some:
                self._closing = True
                self._some.notify()
            thread.join(within_s)
        self._settle()
        if thread is not None and thread.is_alive():
            # The disk hangs: what is in the thread's hands may yet be written, but nobody will know.
            for entry in self._lines:
                entry.tally.settled(entry.rows, written=False)
            return
        self.segment.close()

    def _turn_aside(self) -> None:
        self._direct = False
        self._slow_at = time.monotonic()

    def _wait(self, line: bytes, tally: Tally, rows: int) -> Fate:
        size = len(line) + ENTRY_BYTES
        if self._bytes + size > self._room:
            self._full = True
            return "dropped"
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name=f"journal {self.segment.kind}", daemon=True)
            self._thread.start()
        if self._settled == self._put:
            self._forward_at = time.monotonic()
        self._bytes += size
        self._put += 1
        with self._some:
            self._lines.append(_Entry(line, tally, rows))
            self._some.notify()
        return "waiting"

    def _run(self) -> None:
        """The thread: write what waits, together, until told to end and nothing is left."""
        while entries := self._next():
            started = time.monotonic()
            written = self.segment.append_all([entry.line for entry in entries])
            quick = time.monotonic() - started <= SLOW_S
            if self._durable and written and not self.segment.sync():
                written = 0
            self.segment.rotate_if_older(self._rotate_s)
            self._done.append((entries, written, quick))
            self._call(self._settle)

    def _next(self) -> list[_Entry]:
        with self._some:
            while not self._lines and not self._closing:
                self._some.wait()
            entries, size = [], 0
            while self._lines and size < BATCH_BYTES:
                entries.append(self._lines.popleft())
                size += len(entries[-1].line)
            return entries

    def _call(self, settle: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # the loop has ended; `close` settles

    def _settle(self) -> None:
        """On the event loop: tell what became of what waited."""
        while self._done:
            entries, written, quick = self._done.popleft()
            for number, entry in enumerate(entries):
                entry.tally.settled(entry.rows, written=number < written)
                self._bytes -= len(entry.line) + ENTRY_BYTES
            self._settled += len(entries)
            now = self._forward_at = time.monotonic()
            self._full = self._full and self._bytes > self._room // 2
            self._slow_at = self._slow_at if quick else now
        while self._waiters and self._waiters[0][0] <= self._settled:
            _, done = self._waiters.popleft()
            if not done.done():
                done.set_result(None)

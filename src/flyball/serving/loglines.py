"""A log that nobody waits for: lines bounded in memory and, by kind, in rate, written by a thread of their own.

A pipe that nobody reads holds up that thread and nobody else; what it could not take is counted and told later.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from flyball.store import stamp, utcnow

#: lines of one kind that may come at once, and a second thereafter; further ones are suppressed and counted.
BURST = 100
RATE_PER_S = 10.0
#: lines that wait to be written take at most this much memory; further ones are suppressed too.
BUFFER_BYTES = 1 << 20
#: a worker that ends waits this long for its last lines to be taken.
CLOSE_S = 1.0
#: of what a library says, this many characters are told.
_SAID = 200

#: takes one line: of every request that was refused or failed, and what else operators want to know; never a value.
Log = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True)
class Bucket:
    """How many more lines of one kind may be written: a token bucket."""

    #: when it was last looked at, seconds on the monotonic clock.
    at_s: float
    tokens: float = BURST

    def take(self, now_s: float) -> bool:
        """Whether one more may be written at `now_s`."""
        self.tokens = min(float(BURST), self.tokens + (now_s - self.at_s) * RATE_PER_S)
        self.at_s = now_s
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Outlet:
    """Lines on their way to a file descriptor through a bounded buffer. Called from any thread, and never waits."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: deque[bytes] = deque()
        #: of the lines that wait, the one being written among them.
        self._bytes = 0
        self._some = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> bool:
        """Have a line written; False where there is no room for it."""
        with self._some:
            if self._bytes >= BUFFER_BYTES:
                return False
            self._lines.append(line)
            self._bytes += len(line)
            self._some.notify()
            return True

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Wait until all is written, and no longer than that."""
        with self._some:
            self._closing = True
            self._some.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while line := self._next():
            # One write a line: the workers share a pipe, and only short writes stay whole there.
            _write(self._fd, line)
            with self._some:
                self._bytes -= len(line)

    def _next(self) -> bytes | None:
        with self._some:
            while not self._lines:
                if self._closing:
                    return None
                self._some.wait()
            return self._lines.popleft()


class LogLines:
    """The events of a process as JSON lines, of each kind at most so many."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        #: told again within itself where a finalizer logs.
        self._lock = threading.RLock()
        self._buckets: dict[str, Bucket] = {}
        self._suppressed: Counter[str] = Counter()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """One line. Its kind is what stands under `event`; `suppressed` in it counts those of the kind left out before."""
        kind, now_s = str(event["event"]), time.monotonic()
        with self._lock:
            bucket = self._buckets.get(kind)
            if bucket is None:
                bucket = self._buckets[kind] = Bucket(now_s)
            left_out = self._suppressed[kind]
            line = {**event, "suppressed": left_out} if left_out else event
            told = bucket.take(now_s) and self._outlet.put(_encoded(line))
            self._suppressed[kind] = 0 if told else left_out + 1

    def close(self) -> None:
        """Tell what was suppressed to the last, and wait up to a second until all is written."""
        with self._lock:
            for kind, count in self._suppressed.items():
                if count:
                    self._outlet.put(_encoded({"event": kind, "suppressed": count}))
        self._outlet.close()


class Forward(logging.Handler):
    """What libraries log, as lines of the same log; without arguments and texts of errors, which may hold values."""

    def __init__(self, lines: LogLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage().partition("\n")[0].partition("(")[0][:_SAID]
        error = record.exc_info[1] if record.exc_info else None
        cause = origin(error) if isinstance(error, Exception) else None
        self._lines(
            {"event": "library", "logger": record.name, "level": record.levelname, "what": said, "cause": cause}
        )


def origin(error: Exception) -> str:
    """The error's type and the innermost line it came from; not its text, which may hold values."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
    return f"{type(error).__name__} at {place}"


def _encoded(event: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"at": stamp(utcnow()), "pid": os.getpid(), **event}) + b"\n"


def _write(fd: int, line: bytes) -> None:
    while line:
        try:
            line = line[os.write(fd, line) :]
        except BlockingIOError:  # somebody else made it so
            select.select((), (fd,), ())
        except OSError:
            return  # nobody is there any more

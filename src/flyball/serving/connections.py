"""How long a connection may take, and how many there may be. Pure; `edge` acts on what is found.

An idle connection has a timer (the keep-alive time) and is not looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

from flyball.serving.problem import Problem, later

#: bytes that a request's head may have, and its trailers.
HEAD_BYTES = 32 * 1024
#: after its last answer a connection is read, and what comes thrown away, for this long: one that is closed with
#: unread bytes is reset, and the client would not get to read why.
LINGER_S = 2.0
#: open files that are not connections: the journal, graphs, the database.
OTHER_FILES = 256
#: connections beyond the limit that are still told why they are closed.
TOLD = 64

#: what is due: a refusal (408), an end, or an end at once since nobody reads the answers.
Due = Literal["slow head", "end", "slow reader"]


class Stage(IntEnum):
    """What a connection is reading."""

    #: nothing; the next byte begins a request.
    BETWEEN = 0
    #: a head, from its first byte to its empty line.
    HEAD = 1
    #: a body, with its trailers.
    BODY = 2
    #: nothing any more; what comes is thrown away.
    OVER = 3


class Unread(NamedTuple):
    """Bytes of answers that wait for the client to read."""

    size: int
    #: the client last took some then, monotonic seconds.
    since_s: float


NOTHING = Unread(0, 0.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection at one moment."""

    stage: Stage
    #: since when it is in the midst of what it reads, or lingers, monotonic seconds; 0.0: it is not, or not by its fault.
    since_s: float
    unread: Unread


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection, seconds."""

    #: from a head's first byte to its last.
    head_s: float
    #: for a body that nobody waits for; and without a byte read, for answers that wait.
    timeout_s: float


def due(seen: Seen, limits: Limits, now_s: float) -> Due | None:
    """What is to be done about a connection."""
    if seen.unread.size and now_s - seen.unread.since_s >= limits.timeout_s:
        return "slow reader"
    if not seen.since_s:
        return None
    waited_s = now_s - seen.since_s
    if seen.stage is Stage.HEAD and waited_s >= limits.head_s:
        return "slow head"
    if (seen.stage is Stage.BODY and waited_s >= limits.timeout_s) or (
        seen.stage is Stage.OVER and waited_s >= LINGER_S
    ):
        return "end"
    return None


def unread(before: Unread, size: int, now_s: float) -> Unread:
    """What waits now: the clock starts anew when some of it was taken."""
    if not size:
        return NOTHING
    return Unread(size, before.since_s if before.size and size >= before.size else now_s)


def most_connections(wanted: int, open_files: int) -> int:
    """Connections a worker takes where it may have so many open files: half of them at least, else all but a few."""
    return min(wanted, max(open_files - OTHER_FILES, open_files // 2))


def slow_head(limits: Limits) -> Problem:
    """What is told where `due` says so."""
    return Problem("slow-head", f"the head was not complete {limits.head_s:g} s after its first byte")


def too_many(most: int) -> Problem:
    """What is told a connection beyond the `most` that a worker takes."""
    detail = f"this worker has {most} connections, and takes no more; come back soon, or keep fewer open"
    return later("connections", detail)

"""Which bytes of which segments to carry next: whole lines, and what the dead left unfinished."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import IO, TYPE_CHECKING

from flyball.journal.segment import SUFFIX

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.store.home import Home

#: Segment's name -> first byte, and the one after the last.
Plan = dict[str, tuple[int, int]]


def planned(home: Home, carried: dict[str, int], room: int) -> tuple[Plan, bool]:
    """What to carry next, about `room` bytes, and whether there was more than that."""
    plan: Plan = {}
    for path in segments(home):
        start = carried.get(path.name, 0)
        if path.stat().st_size <= start:
            continue
        if room <= 0:
            return plan, True
        with path.open("rb") as file:
            dead = is_dead(file)
            end, cut = _whole_until(file, start, room, dead=dead)
        if end > start:
            plan[path.name] = (start, end)
            room -= end - start
        if cut:
            return plan, True
    return plan, False


def segments(home: Home) -> list[Path]:
    """Every segment there is."""
    return sorted(home.journal.glob(f"*{SUFFIX}"))


def is_dead(file: IO[bytes]) -> bool:
    """Whether the segment's writer is gone; if so, this file object holds its lock until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _whole_until(file: IO[bytes], start: int, room: int, *, dead: bool) -> tuple[int, bool]:
    """End of the range from `start` with whole lines in about `room` bytes, and whether room was what ended it.

    A dead writer's unfinished tail belongs to the range, to be counted; a living one may still finish it.
    """
    size = os.fstat(file.fileno()).st_size
    limit = start + room
    if dead and size <= limit:
        return size, False
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        end = content.rfind(b"\n", start, min(size, limit)) + 1
        if end == 0:
            # One line longer than the whole room goes in all the same.
            end = content.find(b"\n", start) + 1
        if end == 0:
            end = size if dead else start
    return end, limit < size and end > start

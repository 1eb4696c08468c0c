"""Who beats: one process, by a lease in the database that a thread of it renews while it lives and moves.

A beat may train for an hour, so the lease is not renewed by the beats. One that stands still is not alive either: while
it does, the lease is let run out, which is what watches the loop's silence, and another process may lead.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flyball.errors import FlyballError, Unavailable
from flyball.pipeline.owner import is_alive, this_process
from flyball.store import Database, utcnow
from flyball.store.lease import hold, holder_of, let_go
from flyball.store.waiting import when_there

LEASE = "loop"
#: a leader that stops renewing for this long is replaced; renewed four times as often.
LEASE_S = 60.0
#: a beat that takes longer than this, and in which no run is going on, stands still.
STILL_S = 600.0


class Beats:
    """Whether the beats go on: told by who beats, asked by who renews the lease, in another thread."""

    def __init__(self) -> None:
        self._began_s: float | None = None

    @contextmanager
    def beat(self) -> Iterator[None]:
        self._began_s = time.monotonic()
        try:
            yield
        finally:
            self._began_s = None

    def taken_s(self) -> float:
        """Seconds since the beat under way began; 0 between two."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s


@contextmanager
def leading(
    database: Database,
    stop: threading.Event,
    *,
    beats: Beats | None = None,
    still_s: float = STILL_S,
    lease_s: float = LEASE_S,
) -> Iterator[Callable[[], bool]]:
    """Hold the loop's lease, waiting for it first, and renew it until the block ends; yields whether it still leads.

    `beats`: while one takes longer than `still_s` seconds without a run of this process, the lease is not renewed.
    """
    holder = this_process()
    done = threading.Event()

    def renewed() -> bool:
        was = holder_of(database, LEASE, now=utcnow())
        if was is not None and not is_alive(was):
            let_go(database, LEASE, was)  # killed: nobody need wait for its lease to run out
        return hold(database, LEASE, holder, now=utcnow(), for_s=lease_s)

    def keep() -> None:
        told = False
        while not done.wait(lease_s / 4):
            try:
                taken_s = beats.taken_s() if beats is not None else 0.0
                still = taken_s > still_s and not _runs(database, holder)
                if still and not told:
                    say(f"a beat has not ended for {taken_s:.0f} s, and no run is going on: the lease is let run out")
                told = still
                if not still:
                    renewed()
            except FlyballError as error:  # a server that is away for a while; without it nobody else can lead either
                say(f"lease: {error}")
        database.close()  # this thread's connection

    while not stop.is_set() and not when_there(renewed, stop, say):
        stop.wait(1.0)
    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield lambda: holder_of(database, LEASE, now=utcnow()) == holder
    finally:
        done.set()
        keeper.join()
        try:
            let_go(database, LEASE, holder)
        except Unavailable as error:  # it runs out by itself
            say(f"lease: {error}")


def _runs(database: Database, owner: str) -> bool:
    """Whether a run of this process goes on: its steps have timeouts of their own."""
    return database.one("SELECT 1 AS one FROM run WHERE status = 'running' AND owner = :owner", owner=owner) is not None


def say(line: str) -> None:
    """One line of the process's log."""
    print(f"{utcnow():%Y-%m-%d %H:%M:%S} {line}", file=sys.stderr, flush=True)  # noqa: T201

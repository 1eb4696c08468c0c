"""Work waits its turn: in order, bounded, and not for long in a queue that stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from flyball.serving.problem import Problem
from flyball.serving.queueing import MOST_BYTES, QUANTUM_S, Patience, Piece, Queue


def here() -> bool:
    return False


def heavy() -> str:
    """Work that takes longer than the event loop may go without looking at its sockets."""
    until = time.monotonic() + 1.5 * QUANTUM_S
    while time.monotonic() < until:
        pass
    return "done"


@pytest.mark.parametrize(
    ("empty_at", "piece_s", "limit_s"),
    [
        (100.0, 0.001, 30.0),  # a burst: as long as a request may take
        (99.0, 0.001, 30.0),
        (98.9, 0.001, 0.5),  # not empty for over a second
        (0.0, 0.2, 1.6),  # eight pieces of 0.2 s
        (0.0, 9.0, 30.0),
    ],
)
def test_in_a_standing_queue_nobody_waits_for_long(empty_at: float, piece_s: float, limit_s: float) -> None:
    """At second 100, of requests that may take 30 s."""
    patience = Patience(timeout_s=30.0, empty_at=empty_at, piece_s=piece_s)
    assert patience.limit_s(100.0) == pytest.approx(limit_s)


def test_what_a_piece_takes_is_a_running_mean() -> None:
    """The newest counts a fifth."""
    patience = Patience(timeout_s=30.0, piece_s=1.0)
    patience.done(2.0)
    assert patience.piece_s == pytest.approx(1.2)


def run(act: Callable[[Queue], Any], **options: Any) -> Any:
    async def main() -> Any:
        return await act(Queue(**{"timeout_s": 30.0, "most": 4, **options}))

    return asyncio.run(main())


def test_work_that_finds_nobody_waiting_is_done_at_once() -> None:
    """Without a turn of the event loop; what it raises is raised."""

    async def act(queue: Queue) -> list[str]:
        told: list[str] = []
        queue.put(Piece(lambda: "answer", told.append, lambda error: told.append(str(error)), here, 1, 0.0))
        queue.put(Piece(lambda: 1 / 0, told.append, lambda error: told.append(str(error)), here, 1, 0.0))
        return told

    assert run(act) == ["answer", "division by zero"]


def test_between_heavy_pieces_the_event_loop_looks_at_its_sockets() -> None:
    """Five come at once; others have a turn after each of the first four."""

    async def act(queue: Queue) -> list[Any]:
        told: list[Any] = []
        for _ in range(5):
            queue.put(Piece(heavy, told.append, told.append, here, 1, time.monotonic()))
        assert (told, len(queue)) == (["done"], 4)
        while len(queue):
            told.append("others")
            await asyncio.sleep(0)
        return told

    told = run(act)
    assert [item for item in told if item == "done"] == ["done"] * 5
    assert all(told[at : at + 2] != ["done", "done"] for at in range(len(told)))


def test_more_than_may_wait_are_refused() -> None:
    """By their number, and by what they keep in memory; one may always wait."""

    async def act(queue: Queue) -> list[str]:
        told: list[str] = []
        refused: list[Exception] = []
        for size in (1, MOST_BYTES * 2, 1):
            queue.put(Piece(heavy, told.append, refused.append, here, size, time.monotonic()))
        (first,) = refused
        assert isinstance(first, Problem)
        assert (first.status, dict(first.headers)) == (503, {b"retry-after": b"1"})
        while len(queue):
            await asyncio.sleep(0)
        return told

    assert run(act) == ["done", "done"]

    async def many(queue: Queue) -> int:
        refused: list[Exception] = []
        for _ in range(7):
            queue.put(Piece(heavy, lambda _: None, refused.append, here, 1, time.monotonic()))
        return len(refused)

    assert run(many) == 2  # one at once, four that wait


def test_who_has_gone_away_is_not_worked_for() -> None:
    """Nor counts as refused."""

    async def act(queue: Queue) -> list[Any]:
        told: list[Any] = []
        queue.put(Piece(heavy, told.append, told.append, here, 1, time.monotonic()))
        queue.put(Piece(heavy, told.append, told.append, lambda: True, 1, time.monotonic()))
        while len(queue):
            await asyncio.sleep(0)
        return told

    first, second = run(act)
    assert first == "done"
    assert isinstance(second, ConnectionAbortedError)


def test_who_has_waited_too_long_is_sent_away() -> None:
    """A piece that came 31 s ago, where a request may take 30."""

    async def act(queue: Queue) -> list[Any]:
        told: list[Any] = []
        queue.put(Piece(heavy, told.append, told.append, here, 1, time.monotonic()))
        queue.put(Piece(heavy, told.append, told.append, here, 1, time.monotonic() - 31.0))
        while len(queue):
            await asyncio.sleep(0)
        return told

    _, second = run(act)
    assert isinstance(second, Problem)
    assert second.status == 503


def test_work_on_the_thread_is_given_up_when_its_time_is_over() -> None:
    """504; what waits behind it and is given up too is never begun."""
    begun: list[str] = []
    go = Event()

    def long() -> None:
        begun.append("long")
        go.wait(30.0)

    async def act(queue: Queue) -> list[int]:
        asked = [queue.turn(long, 1, here), queue.turn(lambda: begun.append("behind"), 1, here)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        go.set()
        return [error.status for error in found if isinstance(error, Problem)]

    with ThreadPoolExecutor(1) as executor:
        assert run(act, timeout_s=0.05, executor=executor) == [504, 504]
    assert begun == ["long"]

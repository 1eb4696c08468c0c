"""The open load against real servers: every request is accounted for, once."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.serving.load import Broken, Request
from benchmarks.serving.overload import Crowd, crowd

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
#: so many a second, for one second.
RATE = 50


class Door(socketserver.ThreadingTCPServer):
    """Connections that are still open hold up nobody."""

    daemon_threads = True
    block_on_close = False


@contextmanager
def answering(answer: bytes, late_s: float = 0.0) -> Iterator[Request]:
    """A server that says the same to every request, each on a thread, so late; nothing at all where `answer` is empty."""

    class Conversation(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                time.sleep(late_s)
                if answer:
                    self.request.sendall(answer)

    with Door(("127.0.0.1", 0), Conversation) as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Request(port=door.server_address[1], path="/", body=b"{}")
        door.shutdown()
        thread.join()


def fates(met: Crowd) -> dict[str, int]:
    """How many came to each end, where any did."""
    counts = {"in time": met.good + met.after, "refused": met.refused, "left": met.left, "broken": met.broken}
    return {fate: count for fate, count in counts.items() if count}


@pytest.mark.parametrize(("answer", "fate"), [(OK, "in time"), (REFUSED, "refused"), (FAILED, "broken"), (b"", "left")])
def test_every_request_comes_to_one_end(answer: bytes, fate: str) -> None:
    """Whatever the server does, as many come as the rate says, and none is lost from the count."""
    with answering(answer) as request:
        met = crowd(request, RATE, 1.0)
    assert 0.8 * RATE <= met.asked <= RATE
    assert fates(met) == {fate: met.asked}


def test_answers_after_the_last_request_are_no_goodput() -> None:
    """Where all take half a second, those to the requests of the last half second come too late to count."""
    with answering(OK, late_s=0.5) as request:
        met = crowd(request, RATE, 1.0)
    assert 0 < met.good <= RATE / 2


def test_a_crowd_before_a_closed_door_is_broken() -> None:
    """Nobody listens: not refused, and not left."""
    with answering(OK) as request:
        pass
    met = crowd(request, RATE, 0.2)
    assert fates(met) == {"broken": met.asked}


def test_a_crowd_that_cannot_be_sent_gives_no_figures() -> None:
    """An error, not a goodput of 0."""
    with pytest.raises(Broken, match="the crowd ended with 1"):
        crowd(Request(port=99_999_999, path="/", body=b"{}"), RATE, 0.2)

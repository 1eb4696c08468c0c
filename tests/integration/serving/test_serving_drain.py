"""Ends under load: whoever has connected is answered, and nobody's whole request is thrown away."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson
import pytest

from flyball.serving.sockets import address, bind, readable, refuse_new
from tests.integration.serving.load import BODY, together

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the last connections before the end may be reset")
ASK = b"POST /models/delay/predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Careful(threading.Thread):
    """A careful client: it looks whether its connection was closed before it sends, as HTTP libraries do."""

    def __init__(self, port: int, stop: threading.Event, *, keeps: bool) -> None:
        """`keeps`: on one connection for as long as the server likes; else on a new one for each request."""
        super().__init__()
        self.port, self.stop, self.keeps = port, stop, keeps
        self.ids: list[str] = []
        #: connections that were not made, and requests that were sent whole and not answered with 200.
        self.refused = 0
        self.lost: list[str] = []

    def run(self) -> None:
        connection: socket.socket | None = None
        while not self.stop.is_set() and not self.refused:
            if connection is not None and (not self.keeps or readable(connection.fileno())):
                connection.close()
                connection = None
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self.port), timeout=20)
            except OSError:
                self.refused += 1
                continue
            try:
                connection = self._ask(connection)
            except OSError as error:
                self.lost.append(repr(error))
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: socket.socket) -> socket.socket | None:
        """The connection, if it can be used again."""
        connection.sendall(ASK)
        reply = b""
        while b"\r\n\r\n" not in reply or len(reply.partition(b"\r\n\r\n")[2]) < _length(reply):
            part = connection.recv(65536)
            if not part:
                raise ConnectionError(f"closed after {len(reply)} bytes of an answer")
            reply += part
        head, _, body = reply.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200 "):
            self.ids += orjson.loads(body)["ids"]
        else:
            self.lost.append(head.decode())
        if b"connection: close" not in head:
            return connection
        connection.close()
        return None


def _length(reply: bytes) -> int:
    (line,) = [line for line in reply.split(b"\r\n") if line.startswith(b"content-length: ")]
    return int(line.partition(b" ")[2])


_SUPERVISOR = """
import sys, threading
from pathlib import Path
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind
from flyball.serving.supervisor import supervise, worker_children
from flyball.store import Home
listening = bind("127.0.0.1", 0)
print(address(listening)[1], flush=True)
children = worker_children(Home(Path(sys.argv[1])), listening, 2, Options())
supervise(children, stop=threading.Event(), log=lambda line: print(line, flush=True))
"""


def asked(port: int) -> AbstractContextManager[list[Careful]]:
    """Four clients that keep their connections and two that do not."""
    return together(6, lambda number, stop: Careful(port, stop, keeps=number < 4))


def answered(loads: list[Careful]) -> int:
    return sum(len(load.ids) for load in loads)


def serves(pid: int) -> bool:
    """Whether the process drains when told to stop; one that is still starting has nothing to lose, and just ends."""
    (caught,) = re.findall(r"^SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def kept(installed: Any) -> set[str]:
    return {identity for line in installed.journal() for identity in line["ids"]}


@LINUX
def test_a_socket_that_refuses_new_connections_keeps_those_that_wait() -> None:
    """Who connected is accepted, with what was sent; who comes later is not connected, and refused once it is closed."""
    with (
        bind("127.0.0.1", 0) as listening,
        socket.create_connection(address(listening)) as early,
        socket.socket() as late,
    ):
        early.sendall(b"first")
        refuse_new(listening)
        late.setblocking(False)
        assert late.connect_ex(address(listening)) == errno.EINPROGRESS
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(5) == b"first"
        assert not readable(listening.fileno())
        listening.close()
        late.setblocking(True)
        late.settimeout(20)
        with pytest.raises(ConnectionRefusedError):
            late.recv(1)


@LINUX
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_ends_under_load_loses_no_request(
    serve: Any, installed: Any, eventually: Any, workers: int
) -> None:
    """All are told to stop: each request that was sent is answered with 200 and journaled; then nobody can connect."""
    server = serve(workers=workers)
    with asked(server.port) as loads:
        eventually(lambda: all(len(load.ids) > 50 for load in loads), "load")
        server.end()
        eventually(lambda: all(load.refused for load in loads), "all were refused")
    assert [load.lost for load in loads] == [[]] * len(loads)
    assert kept(installed) == {identity for load in loads for identity in load.ids}
    assert not any("killed" in line for line in server.log)


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_replaced_one_after_the_other_lose_no_request(
    serve: Any, installed: Any, eventually: Any, workers: int
) -> None:
    """SIGTERM to a worker alone, twice: another takes its place, and nobody is refused meanwhile."""
    server = serve(workers=workers)
    with asked(server.port) as loads:
        for _ in range(2):
            eventually(lambda: len([pid for pid in server.alive() if serves(pid)]) == workers, "all workers serve")
            before = answered(loads)
            eventually(lambda before=before: answered(loads) > before + 200, "load")
            told = server.alive()[0]
            started = len(server.pids())
            os.kill(told, signal.SIGTERM)
            eventually(lambda started=started: len(server.pids()) > started, "a replacement")
        before = answered(loads)
        eventually(lambda: answered(loads) > before + 200, "load goes on")
    assert [(load.lost, load.refused) for load in loads] == [([], 0)] * len(loads)
    assert [line.partition(" (")[2].partition(";")[0] for line in server.log if "ended" in line] == ["exit 0)"] * 2
    assert kept(installed) == {identity for load in loads for identity in load.ids}
    assert server.metric("flyball_requests_total") == answered(loads)


@pytest.mark.slow
@LINUX
def test_workers_whose_supervisor_is_killed_lose_no_request(installed: Any, eventually: Any, is_alive: Any) -> None:
    """They end by themselves, with the same care: nobody is to take their place."""
    argv = (sys.executable, "-c", _SUPERVISOR, str(installed.home.path))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        port = int(supervisor.stdout.readline())
        pids = [int(supervisor.stdout.readline().rpartition(" ")[2]) for _ in range(2)]
        with asked(port) as loads:
            eventually(lambda: all(len(load.ids) > 50 for load in loads), "load")
            supervisor.kill()
            eventually(lambda: all(load.refused for load in loads), "all were refused")
    assert [load.lost for load in loads] == [[]] * len(loads)
    eventually(lambda: not any(is_alive(pid) for pid in pids), "workers have ended")
    assert kept(installed) == {identity for load in loads for identity in load.ids}


def test_a_connection_made_while_a_worker_drains_may_still_ask(serve: Any, eventually: Any) -> None:
    """It is not closed under a client that was about to send, but after its answer."""
    server = serve(workers=1)
    with socket.create_connection(("127.0.0.1", server.port)) as waiting:
        eventually(lambda: server.metric("flyball_in_flight") == 1.0, "accepted: what came after it is answered")
        os.kill(server.pids()[0], signal.SIGTERM)
        eventually(lambda: len(server.pids()) == 2 or _draining(server), "it drains")
        waiting.sendall(ASK)
        reply = b""
        while part := waiting.recv(65536):
            reply += part
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in reply


def _draining(server: Any) -> bool:
    return b"draining" in server.request("GET", "/readyz")[2]

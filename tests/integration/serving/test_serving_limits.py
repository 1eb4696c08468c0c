"""Limits of a connection, against a real worker: of time, of memory, of their number."""

from __future__ import annotations

import resource
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.serving.test_serving_connections import BODY, Wire, post

LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
DOCS = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /models/delay/predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
    len(BODY),
    BODY,
)


def wait_for_end(wire: Wire, within_s: float = 20.0) -> float:
    """Wait until the other side has ended the connection, reading nothing; how long that took."""
    began = time.monotonic()
    poll = select.poll()
    poll.register(wire.socket, select.POLLRDHUP)
    assert poll.poll(within_s * 1000), f"still open after {within_s:g} s"
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n", LIVE, post(BODY), LIVE + b"\r\n", post(BODY) + b"\r\n"])
def test_an_idle_connection_is_closed(serve: Any, sent: bytes) -> None:
    """After the keep-alive time, whether it never asked for anything or has been answered."""
    wire = Wire(serve(keep_alive_s=0.5).port)
    wire.send(sent)
    assert wait_for_end(wire) >= 0.4
    wire.close()


@pytest.mark.slow
def test_a_slow_head_is_given_up(serve: Any, installed: Any) -> None:
    """408 a while after its first byte, however many follow; first on a connection or behind an answer."""
    server = serve(head_s=1.0)
    for before in (b"", LIVE, post(BODY)):
        wire = Wire(server.port)
        if before:
            wire.send(before)
            assert wire.read()[0] == 200
        began = time.monotonic()
        wire.send(b"GET /livez HTTP/1.1\r\n")
        poll = select.poll()
        poll.register(wire.socket, select.POLLIN)
        while not poll.poll(50):
            wire.send(b"a: b\r\n")
            assert time.monotonic() - began < 20.0
        assert time.monotonic() - began >= 0.9
        status, headers, body = wire.read()
        assert (status, headers["connection"], orjson.loads(body)["type"]) == (408, "close", "/docs#slow-head")
        assert wire.ended()
        wire.close()
    assert server.metric('flyball_requests_total{code="408"') == 3.0
    assert [line["reason"] for line in installed.journal("errors")] == ["slow-head"] * 3


@pytest.mark.slow
def test_a_body_that_nobody_reads_has_its_time_too(serve: Any) -> None:
    """The answer is there at once; a connection that goes on sending what was refused ends."""
    wire = Wire(serve(timeout_s=1.0).port)
    wire.send(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
    assert wire.read()[0] == 404
    began = time.monotonic()
    poll = select.poll()
    poll.register(wire.socket, select.POLLRDHUP)
    while not poll.poll(50):
        wire.send(b" ")
        assert time.monotonic() - began < 20.0
    wire.close()


@pytest.mark.slow
def test_a_client_that_does_not_read_is_left(serve: Any, eventually: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """The connection ends, with a line in the log; others are answered meanwhile, and nothing stays in flight."""
    server = serve(timeout_s=1.0)
    wire = Wire(server.port)
    wire.send(DOCS * 2000)
    assert server.predict()["version"] == 1
    wait_for_end(wire)
    lines: list[str] = []

    def told() -> list[Any]:
        lines.extend(capfd.readouterr().err.splitlines())
        return [line for line in map(orjson.loads, lines) if line["event"] == "slow reader"]

    found = eventually(told, "the log tells of the slow reader")
    assert [line["caller"] for line in found] == ["127.0.0.1"]
    assert found[0]["unread_bytes"] > 0
    eventually(lambda: server.metric("flyball_in_flight") == 1.0, "nothing is in flight but the one that asks")
    wire.close()


@pytest.mark.slow
def test_a_client_that_reads_slowly_is_not_left(serve: Any) -> None:
    """It takes longer than the time allowed for nothing, but takes something all the time."""
    server = serve(timeout_s=1.0)
    wire = Wire(server.port)
    asked = 1000
    wire.send(DOCS * asked)
    began, found = time.monotonic(), 0
    while found < asked:
        status, _, body = wire.read()
        assert (status, orjson.loads(body)["openapi"][:2]) == (200, "3.")
        found += 1
        if time.monotonic() - began < 2.5:
            select.select([], [], [], 0.01)  # this client's own slowness
    wire.close()


#: bytes of one connection, as `edge` bounds them: what was read and waits (256 KiB, uvloop's buffer), the requests of
#: one slice (8 KiB of at least 18 bytes each, 3 KiB of objects), answers up to the mark (64 KiB) and one more.
BOUND = (256 + 8 * 1024 // 18 * 3 + 64 + 64) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("asked", [b"GET /openapi.json HTTP/1.1\r\n\r\n", LIVE, post(BODY), CHUNKED])
def test_what_is_sent_ahead_is_bounded(serve: Any, asked: bytes) -> None:
    """Clients that send 10,000 requests each, and never read, do not grow the worker beyond its bound."""
    server = serve()
    (pid,) = server.pids()
    for _ in range(20):
        server.predict()
    before, wires = _memory(pid), [Wire(server.port) for _ in range(10)]
    for wire in wires:
        wire.socket.setblocking(False)
        _send_what_fits(wire.socket, asked * 10_000)
    peak = before
    for _ in range(20):
        assert server.predict()["version"] == 1
        peak = max(peak, _memory(pid))
    for wire in wires:
        wire.close()
    assert peak - before < len(wires) * BOUND


def _send_what_fits(to: socket.socket, data: bytes) -> None:
    """All of it, or as much as the other side is willing to take within half a second."""
    sent = 0
    while sent < len(data) and select.select([], [to], [], 0.5)[1]:
        sent += to.send(data[sent:])


def _memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_one_connection_too_many_is_told_so(serve: Any, installed: Any, eventually: Any) -> None:
    """503 with Retry-After, counted; those that are there go on, and one that ends makes room."""
    server = serve(max_connections=5)
    wires = [Wire(server.port) for _ in range(5)]
    for wire in wires:
        wire.send(LIVE)
        assert wire.read()[0] == 200
    more = Wire(server.port)
    status, headers, body = more.read()
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert orjson.loads(body)["type"] == "/docs#connections"
    assert more.ended()
    more.close()
    for wire in wires:
        wire.send(post(BODY))
        assert wire.read()[0] == 200
    assert [line["reason"] for line in installed.journal("errors")] == ["connections"]
    for wire in wires:
        wire.close()
    eventually(server.ready, "there is room")
    assert server.metric('flyball_requests_total{code="503"') >= 1.0


def test_a_flood_of_connections_does_not_use_up_files(serve: Any, eventually: Any) -> None:
    """All are refused or closed; the worker lives, and serves when they are gone."""
    server = serve(max_connections=5)
    (pid,) = server.pids()
    sockets = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(300)]
    if Path(f"/proc/{pid}/fd").exists():
        eventually(lambda: len([*Path(f"/proc/{pid}/fd").iterdir()]) < 150, "those beyond the limit are closed")
    for item in sockets:
        item.close()
    eventually(server.ready, "there is room")
    assert server.alive() == [pid]


def test_a_worker_takes_the_open_files_it_may_have() -> None:
    """The soft limit becomes the hard one."""
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2000)
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, {hard}))
from flyball.serving.sockets import allow_open_files
print(allow_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == [str(hard)] * 3

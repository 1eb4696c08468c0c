"""What goes over one connection: the short way for small requests and the ordinary one tell the same story."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

TRACE = f"traceparent: 00-{'a' * 32}-{'b' * 16}-01"
BODY = orjson.dumps({"inputs": [{"hour": 18.0, "distance": 760.5}]})


class Wire:
    """A connection written and read by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def read(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, self.file.read(int(headers["content-length"]))

    def ended(self) -> bool:
        return self.file.read(1) == b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def post(body: bytes, *headers: str, version: str = "1.1", length: bool = True) -> bytes:
    sized = [f"content-length: {len(body)}"] if length else []
    head = "\r\n".join([f"POST /models/delay/predict HTTP/{version}", "host: x", *sized, *headers])
    return head.encode() + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def server(serve_once: Any) -> Any:
    """One worker that gives a body one second."""
    return serve_once(timeout_s=1.0)


@pytest.fixture
def wire(server: Any) -> Iterator[Wire]:
    """A connection to it."""
    found = Wire(server.port)
    yield found
    found.close()


def test_both_ways_give_the_same_headers(wire: Wire) -> None:
    """A chunked body goes through ASGI, one with a length does not; nobody can tell."""
    wire.send(post(BODY, "x-request-id: a", TRACE))
    short = wire.read()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    wire.send(post(chunked, "x-request-id: a", TRACE, "transfer-encoding: chunked", length=False))
    ordinary = wire.read()
    assert short[0] == ordinary[0] == 200
    assert set(short[1]) == set(ordinary[1])
    assert {name: value for name, value in short[1].items() if name != "date"} == {
        name: value for name, value in ordinary[1].items() if name != "date"
    }
    assert orjson.loads(short[2])["predictions"] == orjson.loads(ordinary[2])["predictions"]


def test_both_ways_refuse_alike(wire: Wire) -> None:
    """The same problem, and the connection goes on."""
    wire.send(post(b"{", "x-request-id: a"))
    short = wire.read()
    wire.send(post(b"1\r\n{\r\n0\r\n\r\n", "x-request-id: a", "transfer-encoding: chunked", length=False))
    ordinary = wire.read()
    assert (short[0], short[2]) == (ordinary[0], ordinary[2])
    assert short[0] == 400
    wire.send(post(BODY))
    assert wire.read()[0] == 200


def test_requests_sent_at_once_are_answered_in_order(wire: Wire) -> None:
    """Pipelining, over both ways mixed."""
    chunked = post(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), "x-request-id: 2", "transfer-encoding: chunked", length=False
    )
    wire.send(post(BODY, "x-request-id: 1"), chunked, post(BODY, "x-request-id: 3"), post(BODY, "x-request-id: 4"))
    assert [wire.read()[1]["x-request-id"] for _ in range(4)] == ["1", "2", "3", "4"]


def test_a_body_may_come_in_pieces(wire: Wire) -> None:
    """Split anywhere, it is one body."""
    whole = post(BODY)
    for part in (whole[:30], whole[30:-20], whole[-20:-1], whole[-1:]):
        wire.send(part)
    assert wire.read()[0] == 200


def test_a_body_that_stalls_is_given_up(wire: Wire) -> None:
    """408 after timeout_s, and the connection ends."""
    wire.send(post(BODY)[:-1])
    status, headers, _ = wire.read()
    assert (status, headers["connection"]) == (408, "close")
    assert wire.ended()


@pytest.mark.parametrize("request_", [post(BODY, version="1.0"), post(BODY, "connection: close")])
def test_a_connection_the_client_wants_closed_is_closed(wire: Wire, request_: bytes) -> None:
    """After the answer."""
    wire.send(request_)
    assert wire.read()[0] == 200
    assert wire.ended()


def test_a_client_that_waits_for_continue_is_told_to(wire: Wire) -> None:
    """Expect: 100-continue."""
    wire.send(post(BODY, "expect: 100-continue")[: -len(BODY)])
    assert wire.file.readline().startswith(b"HTTP/1.1 100")
    wire.file.readline()
    wire.send(BODY)
    assert wire.read()[0] == 200


def test_what_is_no_http_is_refused(wire: Wire) -> None:
    """400, and nothing worse."""
    wire.send(b"\x00\x01\x02\r\n\r\n")
    assert wire.file.readline().startswith(b"HTTP/1.1 400")

"""Raw bytes against a real worker: what cannot be read is refused and accounted, what is odd but clear is answered."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

import orjson
import pytest

from tests.integration.serving.test_serving_connections import BODY, Wire, post

SIZED = f"content-length: {len(BODY)}"
CHUNKED = "transfer-encoding: chunked"
#: up to the trailers.
CHUNKS = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
PREDICT = "POST /models/delay/predict HTTP/1.1"
H2C = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk")


def raw(first: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([first, "host: x", *fields]).encode("latin-1") + b"\r\n\r\n" + body


#: what -> (bytes, status).
REFUSED = {
    "two lengths": (raw(PREDICT, SIZED, SIZED, body=BODY), 400),
    "a list of lengths": (raw(PREDICT, f"{SIZED}, {len(BODY)}", body=BODY), 400),
    "a length, and chunks": (raw(PREDICT, SIZED, CHUNKED, body=CHUNKS + b"\r\n"), 400),
    "chunks, and a length": (raw(PREDICT, CHUNKED, SIZED, body=CHUNKS + b"\r\n"), 400),
    "an unknown encoding": (raw(PREDICT, "transfer-encoding: xchunked", body=BODY), 400),
    "chunked twice": (raw(PREDICT, f"{CHUNKED}, chunked", body=CHUNKS + b"\r\n"), 400),
    "a negative length": (raw(PREDICT, "content-length: -1", body=BODY), 400),
    "a length with a sign": (raw(PREDICT, "content-length: +5", body=BODY), 400),
    "a length of words": (raw(PREDICT, "content-length: 1_0", body=BODY), 400),
    "no length": (raw(PREDICT, "content-length: ", body=BODY), 400),
    "a length beyond 64 bits": (raw(PREDICT, f"content-length: {2**64}", body=BODY), 400),
    "a length beyond reason": (raw(PREDICT, f"content-length: {2**63}", body=BODY), 413),
    "a folded header": (raw(PREDICT, "a: b\r\n c", SIZED, body=BODY), 400),
    "a space before the colon": (raw(PREDICT, "a : b", SIZED, body=BODY), 400),
    "a NUL": (raw(PREDICT, "a: b\0c", SIZED, body=BODY), 400),
    "bare LF": (post(BODY).replace(b"\r\n", b"\n"), 400),
    "bare CR": (post(BODY).replace(b"\r\n", b"\r"), 400),
    "a chunk of no number": (raw(PREDICT, CHUNKED, body=b"zz\r\n"), 400),
    "a chunk that does not end": (raw(PREDICT, CHUNKED, body=b"1\r\n{ZZ"), 400),
    "no path": (raw("GET http://example.org HTTP/1.1"), 400),
    "a path that is not ASCII": (raw("GET /\xe4 HTTP/1.1"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/1.2": (raw("GET /livez HTTP/1.2"), 400),
    "TLS": (bytes.fromhex("160301007b010000770303"), 400),
    "a method there is not": (raw("BREW /livez HTTP/1.1"), 400),
    "CONNECT": (raw("CONNECT example.org:80 HTTP/1.1"), 405),
    "a long header": (raw("GET /livez HTTP/1.1", f"a: {'b' * 400_000}"), 431),
    "many headers": (raw("GET /livez HTTP/1.1", *(f"a{n}: {'b' * 1000}" for n in range(33))), 431),
    "a long path": (raw(f"GET /{'a' * 50_000} HTTP/1.1"), 431),
    "long trailers": (raw(PREDICT, CHUNKED, body=CHUNKS + b"a: " + b"b" * 60_000 + b"\r\n\r\n"), 431),
}

#: what -> (bytes, status); the connection goes on.
ANSWERED = {
    "as ever": (post(BODY), 200),
    "an absolute target": (raw("POST http://example.org/models/delay/predict HTTP/1.1", SIZED, body=BODY), 200),
    "a percent-encoded path": (raw("POST /models/del%61y/predict HTTP/1.1", SIZED, body=BODY), 200),
    "a path that decodes to nothing": (raw("GET /%zz%ff%00 HTTP/1.1"), 404),
    "the server as a whole": (raw("OPTIONS * HTTP/1.1"), 404),
    "TRACE": (raw("TRACE /livez HTTP/1.1", "authorization: hush"), 405),
    "chunks": (raw(PREDICT, CHUNKED, body=CHUNKS + b"\r\n"), 200),
    "chunks with an extension": (raw(PREDICT, CHUNKED, body=CHUNKS.replace(b"\r\n", b";a=b\r\n", 1) + b"\r\n"), 200),
    "a websocket": (raw("GET /livez HTTP/1.1", "connection: upgrade", "upgrade: websocket"), 200),
    "HTTP/2 perhaps": (raw(PREDICT, *H2C, SIZED, body=BODY), 200),
    "HTTP/2 perhaps, in chunks": (raw(PREDICT, *H2C, CHUNKED, body=CHUNKS + b"\r\n"), 200),
    "empty lines before it": (b"\r\n\r\n" + post(BODY), 200),
    "a head of 31 KiB": (raw("GET /livez HTTP/1.1", *(f"a{n}: {'b' * 1000}" for n in range(31))), 200),
    "a path of nothing with a body": (raw("POST /nowhere HTTP/1.1", SIZED, body=BODY), 404),
}


def refused(log: str) -> list[dict[str, Any]]:
    """The lines of a worker's log about what was refused."""
    lines = [orjson.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] in ("refused", "failed")]


def test_what_cannot_be_read_is_refused_and_accounted(
    serve: Any, installed: Any, eventually: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """A problem, the connection ended; counted once, one line in the log, one row among the errors."""
    server = serve()
    capfd.readouterr()
    for what, (sent, status) in REFUSED.items():
        wire = Wire(server.port)
        wire.send(sent)
        found, headers, body = wire.read()
        assert (what, found) == (what, status)
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        problem = orjson.loads(body)
        assert (problem["status"], problem["request_id"]) == (status, headers["x-request-id"])
        assert wire.ended(), what
        wire.close()
    expected = Counter(status for _, status in REFUSED.values())
    assert {code: server.metric(f'flyball_requests_total{{code="{code}"') for code in expected} == expected
    log: list[str] = []

    def logged() -> bool:
        log.append(capfd.readouterr().err)
        return Counter(line["status"] for line in refused("".join(log))) == expected

    eventually(logged, "one line in the log for each")
    assert Counter(line["status"] for line in installed.journal("errors")) == expected
    assert server.predict()["version"] == 1
    assert server.metric("flyball_in_flight") == 1.0  # the one that asks


def test_what_is_odd_but_clear_is_answered(serve: Any) -> None:
    """And the connection goes on with the next request, alone and behind one another."""
    server = serve()
    wire = Wire(server.port)
    for what, (sent, status) in ANSWERED.items():
        wire.send(sent)
        assert (what, wire.read()[0]) == (what, status)
        wire.send(post(BODY))
        assert (what, wire.read()[0]) == (what, 200)
    wire.send(*(sent for sent, _ in ANSWERED.values()))
    assert [wire.read()[0] for _ in ANSWERED] == [status for _, status in ANSWERED.values()]
    wire.close()
    assert server.alive() == server.pids()


def test_trailers_are_no_headers(serve: Any) -> None:
    """What comes after the body is not believed to have come before it."""
    wire = Wire(serve().port)
    wire.send(raw(PREDICT, CHUNKED, body=CHUNKS + b"x-request-id: late\r\nidempotency-key: late\r\n\r\n"))
    status, headers, first = wire.read()
    assert status == 200
    assert headers["x-request-id"] != "late"
    wire.send(raw(PREDICT, CHUNKED, body=CHUNKS + b"idempotency-key: late\r\n\r\n"))
    assert orjson.loads(wire.read()[2])["ids"] != orjson.loads(first)["ids"]
    wire.close()


@pytest.mark.parametrize("field", ["connection: close", "connection: keep-alive"])
def test_http_1_0_is_answered_once(serve: Any, field: str) -> None:
    """One request a connection, and the answer says so."""
    wire = Wire(serve().port)
    wire.send(post(BODY, field, version="1.0"))
    status, headers, _ = wire.read()
    assert (status, headers["connection"]) == (200, "close")
    assert wire.ended()
    wire.close()


def test_a_client_that_waits_is_told_to_go_on_or_why_not(serve: Any) -> None:
    """Expect: 100-continue, and a body that is too large to be asked for."""
    server = serve(max_body_bytes=1000)
    wire = Wire(server.port)
    wire.send(post(BODY, "expect: 100-continue")[: -len(BODY)])
    assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert wire.file.readline() == b"\r\n"
    wire.send(BODY)
    assert wire.read()[0] == 200
    wire.send(raw(PREDICT, "expect: 100-continue", "content-length: 9000"))
    assert wire.read()[0] == 413
    assert wire.ended()
    wire.close()


def test_a_request_may_be_split_anywhere(serve: Any) -> None:
    """At every byte, on the short way and on the ordinary one; another connection's answer tells that both were read."""
    server = serve()
    wire, other = Wire(server.port), Wire(server.port)
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for whole in (
        post(BODY),
        raw(PREDICT, CHUNKED, body=CHUNKS + b"a: b\r\n\r\n"),
        raw(PREDICT, *H2C, SIZED, body=BODY),
    ):
        for at in range(1, len(whole)):
            wire.send(whole[:at])
            other.send(raw("GET /livez HTTP/1.1"))
            assert other.read()[0] == 200
            wire.send(whole[at:])
            assert (whole, at, wire.read()[0]) == (whole, at, 200)
    wire.close()
    other.close()


def test_what_came_before_is_answered_first(serve: Any) -> None:
    """In order, whichever way each goes: at once, by ASGI, on a thread; then what cannot be read, and the end."""
    server = serve()
    row = orjson.dumps({"hour": 18.0, "distance": 760.5})
    large = b'{"inputs":[' + b",".join([row] * 20_000) + b"]}"
    chunked = raw(PREDICT, CHUNKED, "x-request-id: 1", body=CHUNKS + b"\r\n")
    broken = raw(PREDICT, CHUNKED, body=b"1\r\n{ZZ")
    for last in (b"\0\0", broken):
        wire = Wire(server.port)
        wire.send(post(BODY, "x-request-id: 0"), chunked, post(large, "x-request-id: 2"), post(BODY, "x-request-id: 3"))
        wire.send(raw("GET /livez HTTP/1.1", "x-request-id: 4"), last, post(BODY))
        found = [wire.read() for _ in range(5)]
        assert [(status, headers["x-request-id"]) for status, headers, _ in found] == [(200, str(n)) for n in range(5)]
        assert wire.read()[0] == 400
        assert wire.ended()
        wire.close()


def test_a_request_that_was_answered_is_not_refused_too(serve: Any, installed: Any) -> None:
    """One answer for one request: what is wrong with a body that nobody reads is not told."""
    server = serve()
    wire = Wire(server.port)
    wire.send(raw("POST /nowhere HTTP/1.1", CHUNKED, body=b"1\r\n{ZZ"))
    assert wire.read()[0] == 404
    assert wire.ended()
    wire.close()
    assert [line["status"] for line in installed.journal("errors")] == [404]

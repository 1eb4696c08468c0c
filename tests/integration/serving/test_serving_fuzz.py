"""Whatever bytes come over a connection: an answer or an end, within the limits, and nothing of them said again."""

from __future__ import annotations

import re
import socket
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.integration.serving.test_serving_connections import BODY, post

#: stands in what is sent wherever a text of the client's may stand; no answer may have it.
MARK = b"Zq7Zq7"
_CHUNKS = b"%x\r\n%b\r\n0\r\nx-%b: %b\r\n\r\n" % (len(BODY), BODY, MARK, MARK)
_VALID = [
    post(BODY),
    post(BODY, "connection: close", f"x-{MARK.decode()}: {MARK.decode()}"),
    post(_CHUNKS, "transfer-encoding: chunked", length=False),
    post(BODY, "connection: upgrade", "upgrade: h2c"),
    b"GET /%b?%b=%b HTTP/1.1\r\nhost: %b\r\n\r\n" % (MARK, MARK, MARK, MARK),
    b"POST /models/%b/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n" % MARK,
    b"GET /v2/models/delay HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n",
]
_PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\r\n ", b"\xff", b"\r\n\r\n", b"0\r\n\r\n", b"-1", b"%", b";", MARK]
)
_requests = st.sampled_from(_VALID)


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """One or more valid requests, in which some bytes are cut out, doubled or put in."""
    data = b"".join(draw(st.lists(_requests, min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        data = data[:start] + draw(_PIECES | st.just(data[start:end] * 2) | st.binary(max_size=5)) + data[end:]
    return data


def ended(port: int, data: bytes, cut: int, *, within_s: float) -> bytes:
    """What comes back until the other side ends the connection; nothing more is sent, and nothing ended by this side."""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = []
        try:
            for part in filter(None, (data[:cut], data[cut:])):
                connection.sendall(part)
            while more := connection.recv(65536):
                found.append(more)
        except ConnectionError:
            pass  # ended while this side was still sending
        return b"".join(found)


@pytest.mark.slow
def test_whatever_bytes_come_the_connection_ends_in_time(serve: Any) -> None:
    """No hang, no fault, no echo; the worker is the same at the end."""
    server = serve(head_s=0.1, timeout_s=0.1, keep_alive_s=0.05)
    pids = server.pids()

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.binary(max_size=400) | torn() | torn(), cut=st.integers(0, 200))
    @example(data=b"", cut=0)
    @example(data=b"\r\n" * 100, cut=3)
    @example(data=b"GET", cut=1)
    @example(data=post(BODY) * 50 + b"\0", cut=0)
    @example(data=post(BODY)[:-1], cut=20)
    def sent(data: bytes, cut: int) -> None:
        answer = ended(server.port, data, cut, within_s=20.0)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert MARK not in answer
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answer)
        assert not [status for status in statuses if status[:1] == b"5"]

    sent()
    assert server.alive() == pids
    metrics = server.request("GET", "/metrics")[2].decode()
    assert not re.search(r'flyball_requests_total\{code="5', metrics)
    assert server.predict()["version"] == 1
    assert server.metric("flyball_in_flight") == 1.0


@pytest.mark.slow
def test_what_is_said_is_well_formed(serve: Any) -> None:
    """Of a torn request each answer is whole: a status line, headers, as many bytes as they announce, JSON."""
    server = serve(head_s=0.1, timeout_s=0.1, keep_alive_s=0.05)

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=torn())
    def sent(data: bytes) -> None:
        rest = ended(server.port, data, 0, within_s=20.0)
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            if head == b"HTTP/1.1 100 Continue":
                continue
            length = re.search(rb"\r\ncontent-length: (\d+)", head)
            assert length is not None, head
            body, rest = rest[: int(length[1])], rest[int(length[1]) :]
            assert isinstance(orjson.loads(body), dict)

    sent()

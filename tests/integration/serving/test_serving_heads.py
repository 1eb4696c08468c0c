"""A head that was parsed once is known by its bytes: nothing else about a request may be taken from memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.integration.serving.test_serving_connections import Wire, post

FIRST = orjson.dumps({"inputs": [{"hour": 18.0, "distance": 760.5}]})
SECOND = orjson.dumps({"inputs": [{"hour": 6.25, "distance": 99.5}]}).ljust(len(FIRST))


@pytest.fixture(scope="module")
def server(serve_once: Any) -> Any:
    return serve_once(timeout_s=1.0)


@pytest.fixture
def wire(server: Any) -> Iterator[Wire]:
    found = Wire(server.port)
    yield found
    found.close()


def answers(wire: Wire, *bodies: bytes) -> list[Any]:
    found = []
    for body in bodies:
        wire.send(post(body))
        status, _, content = wire.read()
        assert status == 200
        found.append(orjson.loads(content))
    return found


def test_the_same_head_with_another_body_is_another_request(wire: Wire) -> None:
    """Each has its own answer and its own id, on this connection and on another."""
    first, second, again = answers(wire, FIRST, SECOND, FIRST)
    assert first["predictions"] == again["predictions"] != second["predictions"]
    assert len({answer["ids"][0] for answer in (first, second, again)}) == 3


def test_a_known_head_whose_body_is_to_come_waits_for_it(wire: Wire) -> None:
    """The body is read as ever, and what follows it is the next request."""
    answers(wire, FIRST, FIRST)
    whole = post(SECOND)
    for part in (whole[:-10], whole[-10:] + post(FIRST), post(FIRST)[:20], post(FIRST)[20:]):
        wire.send(part)
    assert [wire.read()[0] for _ in range(3)] == [200, 200, 200]
    wire.send(post(FIRST)[:-1])
    assert wire.read()[0] == 408


def test_refusals_under_a_known_head_are_refusals(wire: Wire) -> None:
    """A known head says nothing of the body."""
    answers(wire, FIRST, FIRST)
    wire.send(post(b"{".ljust(len(FIRST))))
    assert wire.read()[0] == 400
    answers(wire, FIRST)


def test_a_request_id_is_its_own_requests(wire: Wire) -> None:
    """Heads that say something of one request only are parsed each time."""
    for number in ("1", "2", "1"):
        wire.send(post(FIRST, f"x-request-id: {number}"))
        assert wire.read()[1]["x-request-id"] == number
    answers(wire, FIRST)
    wire.send(post(FIRST, "idempotency-key: a"), post(FIRST, "idempotency-key: a"))
    one, two = (orjson.loads(wire.read()[2])["ids"] for _ in range(2))
    assert one == two


def test_a_known_head_does_not_remember_the_version(serve: Any, installed: Any) -> None:
    """After a promotion the new version answers, on connections that were there before."""
    wire = Wire(serve(timeout_s=1.0).port)
    assert answers(wire, FIRST, FIRST)[-1]["version"] == 1
    installed.deploy(2)
    deadline = time.monotonic() + 10
    while answers(wire, FIRST)[0]["version"] != 2:
        assert time.monotonic() < deadline, "the second version never answered"
    wire.close()


def test_two_requests_in_one_packet_are_two(wire: Wire) -> None:
    """Pipelined under a known head."""
    answers(wire, FIRST, FIRST)
    wire.send(post(FIRST), post(SECOND), post(FIRST))
    found = [orjson.loads(wire.read()[2])["predictions"] for _ in range(3)]
    assert found[0] == found[2] != found[1]

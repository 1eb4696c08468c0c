"""Compressed request bodies: read, bounded, refused."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.serving.coding import DEFLATE, GZIP, MOST_STREAMS, coding_of, inflated
from flyball.serving.problem import Problem

ROW = {"hour": 18.0, "distance": 760.5}
BODY = orjson.dumps({"inputs": [ROW]})


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


WAYS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": raw_deflate}


@pytest.mark.parametrize(
    ("given", "coding"),
    [(b"gzip", GZIP), (b" GZip ", GZIP), (b"x-gzip", GZIP), (b"deflate", DEFLATE), (b"identity", None), (b"", None)],
)
def test_a_coding_is_known_by_its_names(given: bytes, coding: bytes | None) -> None:
    """In any case, by its old name too; none and identity are none."""
    assert coding_of({b"content-encoding": given}) == coding


@pytest.mark.parametrize("given", [b"br", b"zstd", b"gzip, deflate", b"gzip, gzip", b"identity, gzip", b"compress"])
def test_another_coding_is_refused_with_those_that_are_read(given: bytes) -> None:
    """415 and Accept-Encoding, as RFC 7694 has it."""
    with pytest.raises(Problem, match="needs gzip or deflate") as caught:
        coding_of({b"content-encoding": given})
    assert (caught.value.status, caught.value.headers) == (415, ((b"accept-encoding", b"gzip, deflate, identity"),))


@given(body=st.binary(max_size=2000))
def test_what_was_compressed_comes_out_as_it_was(body: bytes) -> None:
    """Either coding; deflate with its header or without."""
    assert inflated(gzip.compress(body), GZIP, 2000) == body
    assert inflated(zlib.compress(body), DEFLATE, 2000) == body
    assert inflated(raw_deflate(body), DEFLATE, 2000) == body


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    """To the byte."""
    for size, found in ((999, True), (1000, True), (1001, False), (10_000_000, False)):
        assert (inflated(gzip.compress(bytes(size)), GZIP, 1000) is not None) is found
        assert (inflated(zlib.compress(bytes(size)), DEFLATE, 1000) is not None) is found


def test_gzip_may_be_several_streams_up_to_a_number() -> None:
    """RFC 1952 lets them follow each other; their bytes together are bounded."""
    part = gzip.compress(b"0123456789")
    assert inflated(part * 3, GZIP, 30) == b"0123456789" * 3
    assert inflated(part * 3, GZIP, 29) is None
    with pytest.raises(Problem, match="goes on after its stream has ended"):
        inflated(gzip.compress(b"") * (MOST_STREAMS + 1), GZIP, 30)


@pytest.mark.parametrize("coding", [GZIP, DEFLATE])
@pytest.mark.parametrize(
    "damage", [lambda text: b"", lambda text: text[:-3], lambda text: text + b"x", lambda text: b"{}" + text]
)
def test_a_damaged_stream_is_refused(coding: bytes, damage: Any) -> None:
    """400: empty, torn, followed by something, or none at all."""
    whole = gzip.compress(BODY) if coding == GZIP else zlib.compress(BODY)
    with pytest.raises(Problem, match=f"the body is sent as {coding.decode()}") as caught:
        inflated(damage(whole), coding, 1000)
    assert (caught.value.status, caught.value.kind) == (400, "malformed")


@given(body=st.binary(max_size=300))
def test_whatever_bytes_come_they_are_read_or_refused(body: bytes) -> None:
    """Nothing else is raised."""
    for coding in (GZIP, DEFLATE):
        plain = None
        with suppress(Problem):
            plain = inflated(body, coding, 1000)
        assert plain is None or len(plain) <= 1000


@pytest.mark.parametrize("name", WAYS)
def test_a_compressed_request_is_answered_as_the_plain_one(client: Any, name: str) -> None:
    """Same prediction, and a journal line of what came out."""
    plain, coded = (
        client.post("/models/delay/predict", BODY),
        client.post("/models/delay/predict", WAYS[name](BODY), content_encoding=name),
    )
    assert (coded.status, coded.json()["predictions"]) == (200, plain.json()["predictions"])
    first, second = client.journal()
    assert first["inputs"] == second["inputs"] == [ROW]


def test_compressed_outcomes_are_taken_in(client: Any) -> None:
    """The same as predictions."""
    body = gzip.compress(orjson.dumps({"outcomes": [{"key": "a", "value": 1}]}))
    assert client.post("/models/delay/outcomes", body, content_encoding="gzip").status == 202


def test_a_body_that_grows_beyond_the_limit_is_too_large(installed: Any, start: Any) -> None:
    """413, by the size of what comes out; a large one is inflated beside the event loop."""
    installed.deploy("delay", 1)
    client = start(max_body_bytes=1_000_000)
    bomb = gzip.compress(bytes(10_000_000))
    reply = client.post("/models/delay/predict", bomb, content_encoding="gzip")
    assert (reply.status, reply.json()["detail"]) == (413, "more than 1000000 bytes when inflated; send fewer rows")
    many = orjson.dumps({"inputs": [ROW] * 20_000})
    assert len(many) > 600_000
    assert client.post("/models/delay/predict", gzip.compress(many), content_encoding="gzip").status == 200


def test_a_coding_is_refused_before_the_body_is_read(client: Any) -> None:
    """415 in problem+json, on every route that takes a body."""
    for path in ("/models/delay/predict", "/models/delay/outcomes", "/v1/models/delay:predict", "/invocations"):
        reply = client.post(path, BODY, content_encoding="br")
        assert (reply.status, reply.json()["type"]) == (415, "/docs#coding")
        assert reply.headers["accept-encoding"] == "gzip, deflate, identity"

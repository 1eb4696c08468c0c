"""The load generators against a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving import echo
from benchmarks.serving.load import Broken, Request, load
from benchmarks.serving.servers import PYTHON, NotServing, Server, first_answer, free_port, running

WRK = shutil.which("wrk")
TOOLS = [None, pytest.param(WRK, marks=pytest.mark.skipif(WRK is None, reason="wrk is not installed"))]


@pytest.fixture
def echoing(tmp_path: Path) -> Iterator[Server]:
    """An echo server that answers `[0]`; it fails (500) on what is not JSON."""
    answer, port = tmp_path / "answer", free_port()
    answer.write_bytes(b"[0]")
    with running((PYTHON, "-P", echo.__file__, str(port), str(answer)), port, tmp_path / "log") as server:
        assert first_answer(server, Request(port=port, path="/", body=b"{}")) == b"[0]"
        yield server


@pytest.mark.parametrize("wrk", TOOLS)
def test_answers_are_counted_and_timed(echoing: Server, wrk: str | None) -> None:
    """Rate, median and tail belong together: four clients that wait p50 each ask about 4 / p50 times a second."""
    met = load(Request(port=echoing.port, path="/", body=b"{}"), connections=4, seconds=1, wrk=wrk)
    assert met.failed == 0
    assert 0 < met.p50_ms <= met.p99_ms
    assert met.requests_per_s == pytest.approx(met.answers / met.seconds)
    assert met.answers > 100


@pytest.mark.parametrize("wrk", TOOLS)
def test_answers_other_than_2xx_are_failures(echoing: Server, wrk: str | None) -> None:
    """Every one is counted, so that nobody quotes how fast a server refuses."""
    met = load(Request(port=echoing.port, path="/", body=b"not JSON"), connections=2, seconds=1, wrk=wrk)
    assert met.failed >= met.answers > 0


@pytest.mark.parametrize("wrk", TOOLS)
def test_a_server_that_is_not_there_gives_no_figures(wrk: str | None) -> None:
    """An error, not a rate of 0."""
    with pytest.raises(Broken):
        load(Request(port=free_port(), path="/", body=b"{}"), connections=1, seconds=1, wrk=wrk)


def test_a_server_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    """The error holds the last line it wrote."""
    argv = (PYTHON, "-c", "raise SystemExit('no model here')")
    port = free_port()
    with running(argv, port, tmp_path / "log") as server, pytest.raises(NotServing, match="no model here"):
        first_answer(server, Request(port=port, path="/", body=b"{}"))

"""A log that nobody waits for: what is written, what is left out, and that it is told."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from flyball.serving.loglines import BUFFER_BYTES, BURST, Bucket, Forward, LogLines, Outlet


@dataclass
class Pipe:
    """Both ends of one."""

    reading: int
    writing: int

    def lines(self) -> list[dict[str, Any]]:
        """All that was written; nothing can be any more."""
        os.close(self.writing)
        self.writing = -1
        with os.fdopen(os.dup(self.reading), "rb") as file:
            return [orjson.loads(line) for line in file]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """One that holds 64 KiB, as pipes do."""
    found = Pipe(*os.pipe())
    yield found
    os.close(found.reading)
    if found.writing >= 0:
        os.close(found.writing)


def test_a_kind_has_a_burst_and_then_a_rate() -> None:
    """100 at once, no 101st; a tenth of a second later one more; after an hour 100 again and not 36,000."""
    bucket = Bucket(at_s=0.0)
    assert [bucket.take(0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert [bucket.take(0.1), bucket.take(0.1)] == [True, False]
    assert sum(bucket.take(3600.0) for _ in range(BURST + 1)) == BURST


def test_an_event_is_one_line_with_time_and_process(pipe: Pipe) -> None:
    """In the order in which they were told."""
    log = LogLines(Outlet(pipe.writing))
    log({"event": "refused", "status": 422})
    log({"event": "failed", "status": 500})
    log.close()
    first, second = pipe.lines()
    assert {name: value for name, value in first.items() if name != "at"} == {
        "pid": os.getpid(),
        "event": "refused",
        "status": 422,
    }
    assert second["event"] == "failed"


def test_what_is_over_the_rate_is_counted_in_the_end_and_costs_other_kinds_nothing(pipe: Pipe) -> None:
    """Of 150 refusals some 100 are written, the others told as a number; a failure between them is written."""
    log = LogLines(Outlet(pipe.writing))
    for number in range(150):
        log({"event": "refused", "number": number})
    log({"event": "failed"})
    log.close()
    lines = pipe.lines()
    refused = [line for line in lines if line["event"] == "refused"]
    assert [line["number"] for line in refused[:BURST]] == list(range(BURST))
    written = [line for line in refused if "number" in line]
    assert len(written) + sum(line.get("suppressed", 0) for line in refused) == 150
    assert "suppressed" in refused[-1]
    assert [line["event"] for line in lines].count("failed") == 1


def test_a_pipe_that_nobody_reads_holds_up_nobody_and_fills_no_memory(pipe: Pipe) -> None:
    """Lines beyond the buffer are refused at once; those in it are written when somebody reads."""
    outlet = Outlet(pipe.writing)
    line = b'"%b"\n' % (b"x" * 1021)
    taken = sum(outlet.put(line) for _ in range(5_000))
    room = BUFFER_BYTES // len(line)
    assert room <= taken <= room + 65536 // len(line) + 1
    outlet.close(wait_s=0.01)  # gives up, as nobody reads
    with os.fdopen(os.dup(pipe.reading), "rb") as file:
        assert [len(file.readline()) for _ in range(taken)] == [len(line)] * taken


def test_a_pipe_whose_reader_is_gone_is_no_error() -> None:
    """Lines are lost, and nothing else."""
    reading, writing = os.pipe()
    os.close(reading)
    outlet = Outlet(writing)
    assert outlet.put(b"nobody\n")
    outlet.close()
    os.close(writing)


def test_what_libraries_log_holds_no_arguments_and_no_text_of_errors(pipe: Pipe) -> None:
    """Both may be values of a request."""
    log = LogLines(Outlet(pipe.writing))
    logger = logging.getLogger("tests.loglines")
    forward = Forward(log)
    logger.addHandler(forward)
    logger.propagate = False
    try:
        raise ValueError("secret")
    except ValueError:
        logger.exception("Exception in callback f('secret')\nmore: secret")
    logger.removeHandler(forward)
    log.close()
    (line,) = pipe.lines()
    assert (line["event"], line["logger"], line["level"]) == ("library", "tests.loglines", "ERROR")
    assert line["what"] == "Exception in callback f"
    assert line["cause"].startswith("ValueError at ")
    assert "secret" not in orjson.dumps(line).decode()

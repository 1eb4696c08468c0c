"""The log of a worker, over a real pipe."""

from __future__ import annotations

import fcntl
import http.client
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from flyball.serving.options import Options, worker_argv
from flyball.serving.sockets import address, bind

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and small pipes")
REFUSED = 5_000


@pytest.fixture
def unread(installed: Any) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A worker whose stderr is a pipe of 4 KiB that nobody reads yet; and its port."""
    with bind("127.0.0.1", 0) as listening:
        fd, port = listening.fileno(), address(listening)[1]
        argv = (sys.executable, "-m", "flyball.serving.worker", *worker_argv(installed.home.path, fd, 0, Options()))
        with subprocess.Popen(argv, pass_fds=(fd,), stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            yield process, port
            process.kill()


def refuse(port: int, count: int) -> set[int]:
    """What was answered to requests that cannot be answered."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        statuses = set()
        for _ in range(count):
            connection.request("POST", "/models/delay/predict", b"{")
            with connection.getresponse() as reply:
                reply.read()
                statuses.add(reply.status)
        return statuses


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_a_log_that_nobody_reads_holds_up_no_answer(unread: Any) -> None:
    """Answers go on and memory does not grow; who reads at last finds each refusal written or counted."""
    process, port = unread
    assert refuse(port, 500) == {400}
    before = resident(process.pid)
    assert refuse(port, REFUSED - 500) == {400}
    assert resident(process.pid) < before + 4 * 2**20
    process.terminate()
    lines = [orjson.loads(line) for line in process.stderr]
    assert process.wait() == 0
    refused = [line for line in lines if line["event"] == "refused"]
    written = sum("status" in line for line in refused)
    assert written + sum(line.get("suppressed", 0) for line in refused) == REFUSED


@pytest.mark.slow
def test_a_log_that_is_never_read_does_not_keep_a_worker_from_ending(unread: Any) -> None:
    """It is waited for a second, not for ever."""
    process, port = unread
    assert refuse(port, 500) == {400}
    process.terminate()
    assert process.wait(20) == 0

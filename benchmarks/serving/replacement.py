"""How long nobody answers where the only worker is killed: from its death to the first answer of its replacement."""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import threading
import time

from benchmarks.serving import servers
from benchmarks.serving.cases import Case, flyball_request
from benchmarks.serving.load import Request
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind
from flyball.serving.supervisor import fresh_metrics, supervise, worker_children
from flyball.serving.worker import metrics_folder
from flyball.store import Home

DEATHS = 3
#: a fresh connection is made this often.
EVERY_S = 0.01
#: not killed sooner after its first answer: what dies young again and again is started again later and later.
GROWN_UP_S = 10.5


def measure_replacement(case: Case, home: Home) -> float:
    """Seconds; the median of several deaths under a real supervisor."""
    fresh_metrics(metrics_folder(home))
    listening = bind("127.0.0.1", 0)
    request = flyball_request(case, address(listening)[1])
    log: list[str] = []
    stop = threading.Event()
    children = worker_children(home, listening, 1, Options())
    supervisor = threading.Thread(target=supervise, args=(children,), kwargs={"stop": stop, "log": log.append})
    supervisor.start()
    try:
        _first_answer(request)
        taken = []
        for _ in range(DEATHS):
            time.sleep(GROWN_UP_S)
            os.kill(_newest(log), signal.SIGKILL)
            died_at = time.perf_counter()
            _first_answer(request)
            taken.append(time.perf_counter() - died_at)
    finally:
        stop.set()
        supervisor.join()
    for segment in home.journal.glob("*.jsonl"):
        segment.unlink()
    return statistics.median(taken)


def _first_answer(request: Request) -> None:
    """Ask until somebody answers. The port stays open: a connection made meanwhile waits for whoever comes first."""
    deadline = time.perf_counter() + servers.PATIENCE_S
    while time.perf_counter() < deadline:
        try:
            if servers.ask(request)[0] == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(EVERY_S)
    raise servers.NotServing(f"nobody answered for {servers.PATIENCE_S:g} s")


def _newest(log: list[str]) -> int:
    """The process started last, as the supervisor tells of it."""
    return int([line for line in log if "started, pid" in line][-1].rpartition(" ")[2])

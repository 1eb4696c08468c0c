"""How long nobody answers where the only worker is killed: from its death to the first answer of its replacement."""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import threading
import time
from dataclasses import dataclass

from benchmarks.serving import servers
from benchmarks.serving.cases import Case, flyball_request
from benchmarks.serving.homes import forget_journal
from benchmarks.serving.load import Request
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind
from flyball.serving.supervisor import fresh_metrics, supervise, worker_children
from flyball.serving.worker import metrics_folder
from flyball.store import Home

#: how many the median is taken of.
DEATHS = 3
#: a fresh connection is made this often.
EVERY_S = 0.01
#: not killed sooner after its first answer: what dies young again and again is started again later and later.
GROWN_UP_S = 10.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """How long the deaths of an only worker left nobody to answer."""

    #: from each death by SIGKILL to the first answer over a connection made since, seconds.
    taken_s: tuple[float, ...]
    #: why the figures say nothing.
    fault: str | None

    def median_s(self) -> float | None:
        """None where nothing can be said."""
        return None if self.fault or not self.taken_s else statistics.median(self.taken_s)


def measure_replacement(case: Case, home: Home, deaths: int) -> Replacement:
    """`deaths` of the only worker under a real supervisor."""
    fresh_metrics(metrics_folder(home))
    listening = bind("127.0.0.1", 0)
    request = flyball_request(case, address(listening)[1])
    log: list[str] = []
    stop = threading.Event()
    children = worker_children(home, listening, 1, Options())
    supervisor = threading.Thread(target=supervise, args=(children,), kwargs={"stop": stop, "log": log.append})
    supervisor.start()
    taken: list[float] = []
    fault = None
    try:
        _first_answer(request)
        for _ in range(deaths):
            time.sleep(GROWN_UP_S)
            os.kill(_newest(log), signal.SIGKILL)
            died_at = time.perf_counter()
            _first_answer(request)
            taken.append(time.perf_counter() - died_at)
    except servers.NotServing as error:
        fault = str(error)
    finally:
        stop.set()
        supervisor.join()
        listening.close()
    forget_journal(home)
    return Replacement(taken_s=tuple(taken), fault=fault)


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

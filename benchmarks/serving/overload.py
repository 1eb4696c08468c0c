"""What remains of a worker's throughput when twice as much is asked as it can answer: `python -m benchmarks.serving.overload`.

Peak: answers a second to eight patient clients, one request each at a time. Then requests come at twice that rate, each
from a client that leaves after a second; goodput is what is answered in time, a second. By itself it prints its rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.serving import models, servers
from benchmarks.serving.cases import FLYBALL, Case, Loading, Site, flyball_request
from benchmarks.serving.homes import bundle_files, deployed, fitted_models, forget_journal
from benchmarks.serving.load import Broken, Load, Request
from benchmarks.serving.rounds import books_wrong, loading_for
from benchmarks.serving.servers import first_answer, scraped

TIMES = 2.0
PATIENCE_S = 1.0
#: a crowd comes for so many times as long as its peak was measured.
LASTS = 3
#: a crowd smaller than this share of what was meant to come says nothing.
LEAST_CAME = 0.95
#: of a run by hand.
ROUNDS = 3
SECONDS = 3

#: eight clients keep a worker busy, and none of them waits so long that it is refused.
HEAVY = Case(name="1,000 rows at 2 x capacity", model=models.LIGHTGBM, rows=1_000, connections=8, form="columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What became of the requests of an open load."""

    asked: int
    #: answered in time; in time, but after the last request was sent.
    good: int
    after: int
    #: refused with 503; given up by the client; anything else.
    refused: int
    left: int
    broken: int
    #: during which they were asked.
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A peak, and the crowd that came right after it."""

    peak: Load
    crowd: Crowd

    def goodput(self) -> float:
        """Answers in time a second, over the peak's answers a second."""
        return self.crowd.good / self.crowd.seconds / self.peak.requests_per_s

    def fault(self) -> str | None:
        """Why the round says nothing, if so."""
        peak, crowd = self.peak, self.crowd
        if peak.failed:
            return f"{peak.failed} of {peak.answers} answers failed at the peak"
        if crowd.broken:
            return f"{crowd.broken} of {crowd.asked} requests were neither answered nor refused with 503"
        if crowd.asked < LEAST_CAME * (wanted := TIMES * peak.requests_per_s * crowd.seconds):
            return f"only {crowd.asked} requests were sent where {wanted:.0f} should have been"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """What all rounds came to."""

    rounds: tuple[Round, ...]
    #: why the figures say nothing.
    fault: str | None

    def goodput(self) -> float | None:
        """Of the peak; the median over rounds. None where nothing can be said."""
        return None if self.fault or not self.rounds else statistics.median(each.goodput() for each in self.rounds)


def measure_overload(site: Site, loading: Loading, rounds: int) -> Overload:
    """Peak and crowd in turn on one worker, after one load to warm up."""
    home = site.homes[HEAVY.model, HEAVY.kind]
    kept: list[Round] = []
    with servers.flyball(home, site.folder / "overload.log") as server:
        request = flyball_request(HEAVY, server.port)
        first_answer(server, request)
        try:
            loading(request, HEAVY)
            for _ in range(rounds):
                peak = loading(request, HEAVY)
                kept.append(Round(peak=peak, crowd=crowd(request, TIMES * peak.requests_per_s, LASTS * peak.seconds)))
            fault = next(filter(None, (each.fault() for each in kept)), books_wrong(HEAVY.kind, scraped(server), home))
        except Broken as broken:
            fault = str(broken)
    forget_journal(home)
    return Overload(rounds=tuple(kept), fault=fault)


def crowd(request: Request, rate: float, seconds: float) -> Crowd:
    """`rate` requests a second for `seconds`, whatever becomes of them. Raises `Broken`."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(request.body)
        body.flush()
        url = f"http://127.0.0.1:{request.port}{request.path}"
        said = map(str, (url, body.name, rate, seconds, PATIENCE_S))
        argv = (sys.executable, "-m", "benchmarks.serving.crowd", *said)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    try:
        return Crowd(**orjson.loads(done.stderr))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise Broken(f"the crowd ended with {done.returncode} and said: {done.stderr[-500:]}") from error


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        file = fitted_models() / f"{HEAVY.model}.joblib"
        home = deployed(Path(folder, FLYBALL), file, HEAVY.model, bundle_files(file, HEAVY.model))
        site = Site(homes={(HEAVY.model, HEAVY.kind): home}, peers=(), folder=Path(folder))
        met = measure_overload(site, loading_for(SECONDS), ROUNDS)
    for each in met.rounds:
        print(f"peak {each.peak.requests_per_s:.0f}/s, {each.crowd}, goodput {each.goodput():.2f} of peak")
    goodput = met.goodput()
    print(f"{HEAVY.name}: {met.fault or 'nothing'}" if goodput is None else f"{HEAVY.name}: {goodput:.3f} of peak")
    return 1 if goodput is None else 0


if __name__ == "__main__":
    sys.exit(main())

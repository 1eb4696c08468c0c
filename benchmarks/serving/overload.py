"""What remains of a worker's throughput when twice as much is asked as it can answer: `python -m benchmarks.serving.overload`.

Peak: answers a second to sixteen patient clients, one request each at a time. Then requests come at twice that rate, each
from a client that leaves after a second; goodput counts the answers that were in time.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.serving import models, servers
from benchmarks.serving.cases import FLYBALL, Case, flyball_request
from benchmarks.serving.homes import bundle_files, deployed
from benchmarks.serving.load import Request, load
from benchmarks.serving.servers import first_answer

TIMES = 2.0
PATIENCE_S = 1.0
ROUNDS = 3
PEAK_S = 3
CROWD_S = 8

HEAVY = Case(name="1,000 rows at 2 x capacity", model=models.LIGHTGBM, rows=1_000, connections=16, form="columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What became of the requests of an open load."""

    asked: int
    #: answered in time; refused with 503; given up by the client; anything else.
    good: int
    refused: int
    left: int
    broken: int
    #: during which they were asked.
    seconds: float


def crowd(request: Request, rate: float, seconds: float) -> Crowd:
    with tempfile.NamedTemporaryFile() as body:
        body.write(request.body)
        body.flush()
        url = f"http://127.0.0.1:{request.port}{request.path}"
        argv = (
            sys.executable,
            "-m",
            "benchmarks.serving.crowd",
            url,
            body.name,
            *map(str, (rate, seconds, PATIENCE_S)),
        )
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return Crowd(**orjson.loads(done.stderr))


def main() -> None:
    from benchmarks.serving.run import _fitted  # which imports all of the benchmarks

    wrk, kept = shutil.which("wrk"), []
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        file = _fitted() / f"{HEAVY.model}.joblib"
        home = deployed(Path(folder, FLYBALL), file, HEAVY.model, bundle_files(file, HEAVY.model))
        with servers.flyball(home, Path(folder, "flyball.log")) as server:
            request = flyball_request(HEAVY, server.port)
            first_answer(server, request)
            for _ in range(ROUNDS):
                peak = load(request, connections=HEAVY.connections, seconds=PEAK_S, wrk=wrk).requests_per_s
                met = crowd(request, TIMES * peak, CROWD_S)
                kept.append(met.good / met.seconds / peak)
                print(f"peak {peak:.0f}/s, at {TIMES:g} x: {met}, goodput {kept[-1]:.2f} of peak", flush=True)
    print(f"{HEAVY.name}: goodput {statistics.median(kept):.2f} of peak, asked at least 0.8")


if __name__ == "__main__":
    main()

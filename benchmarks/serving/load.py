"""One load on one server: the same request again and again over keep-alive connections, from a process of its own.

wrk where it is installed, else `benchmarks.serving.generator`.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

#: a request that takes longer has failed.
TIMEOUT_S = 30

_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = assert(io.open([==[{body}]==], "rb"))
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{{"answers":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"failed":%d}}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


class Broken(Exception):
    """A load that met no answer at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked, again and again."""

    port: int
    path: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one round of load met."""

    #: whole answers, failed ones among them.
    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    #: answers other than 2xx (wrk: over 399), and broken or late connections. Above 0 the round says nothing.
    failed: int

    @property
    def requests_per_s(self) -> float:
        return self.answers / self.seconds


def tool() -> str:
    """The load generator used, for the record."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return "benchmarks/serving/generator.py (no wrk on PATH)"
    said = subprocess.run((wrk, "--version"), capture_output=True, text=True, check=False)
    return " ".join((said.stdout + said.stderr).split()[:2])


def load(request: Request, *, connections: int, seconds: int, wrk: str | None) -> Load:
    """`connections` clients, each with one request under way at any time, for `seconds`. `wrk`: its path, if any."""
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder, "body")
        body.write_bytes(request.body)
        url = f"http://127.0.0.1:{request.port}{request.path}"
        if wrk is None:
            return _measured(
                (sys.executable, "-m", "benchmarks.serving.generator", url, str(body), str(connections), str(seconds))
            )
        script = Path(folder, "post.lua")
        script.write_text(_LUA.format(body=body))
        clients = (f"-c{connections}", "-t1", f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s")
        return _measured((wrk, *clients, "-s", str(script), url))


def _measured(argv: Sequence[str]) -> Load:
    """What the generator wrote on stderr: one JSON object."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    try:
        loaded = Load(**orjson.loads(done.stderr))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise Broken(f"{argv[0]} ended with {done.returncode} and said: {done.stderr[-500:]}") from error
    if not loaded.answers or not math.isfinite(loaded.p99_ms):
        raise Broken(f"no answer within {loaded.seconds:.0f} s")
    return loaded

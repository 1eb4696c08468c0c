"""Servers as processes of their own: started, waited for, looked at from outside, ended with all they started."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.load import TIMEOUT_S, Request
from flyball.serving import worker
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind
from flyball.serving.supervisor import fresh_metrics, worker_children
from flyball.store import Home

PYTHON = sys.executable
#: a server that has not answered by then does not run.
PATIENCE_S = 60.0
#: a server told to end is killed after this long.
END_S = 15.0
#: one thread each, for every server: cores are shared with the load generator.
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class NotServing(Exception):
    """A server that did not come up, or went away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that has been started."""

    process: subprocess.Popen[bytes]
    port: int
    #: what it wrote on stdout and stderr.
    log: Path
    started_at: float

    @property
    def pid(self) -> int:
        return self.process.pid


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    argv: Sequence[str],
    port: int,
    log: Path,
    *,
    env: Mapping[str, str] = ENV,
    pass_fds: tuple[int, ...] = (),
    cwd: Path | None = None,
) -> Iterator[Server]:
    """The process `argv` in a session of its own. Ended, with all its children, on the way out."""
    with log.open("wb") as output:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process=process, port=port, log=log, started_at=started_at)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        with suppress(ProcessLookupError):  # none is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def flyball(
    home: Home, log: Path, *, stand_in: str | None = None, extra_env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """One worker over `home`, started as its supervisor starts it; `stand_in`: the file of another worker."""
    fresh_metrics(worker.metrics_folder(home))
    with bind("127.0.0.1", 0) as listening:
        (child,) = worker_children(home, listening, 1, Options())
        argv = child.argv
        if stand_in is not None:
            arguments = argv[argv.index(worker.__name__) + 1 :]
            argv = (PYTHON, "-P", stand_in, *arguments)
        env = {**(child.env or {}), **(extra_env or {})}
        with running(argv, address(listening)[1], log, env=env, pass_fds=child.pass_fds) as server:
            yield server


def ask(request: Request) -> tuple[int, bytes]:
    """Status and body of one request."""
    return _exchange(request.port, "POST", request.path, request.body)


def get(server: Server, path: str) -> bytes:
    return _exchange(server.port, "GET", path, None)[1]


def scraped(server: Server) -> dict[str, float]:
    """The samples of /metrics: name with labels -> value."""
    lines = get(server, "/metrics").decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def total(samples: Mapping[str, float], *parts: str) -> float:
    """The sum of all samples whose names hold all `parts`."""
    return sum(value for name, value in samples.items() if all(part in name for part in parts))


def first_answer(server: Server, request: Request) -> bytes:
    """The body of the first 200, whatever the server says while it loads its model. Raises `NotServing`."""
    deadline, said = time.perf_counter() + PATIENCE_S, "nothing"
    while time.perf_counter() < deadline and server.process.poll() is None:
        try:
            status, body = ask(request)
            said = f"{status} {body[:200].decode(errors='replace')}"
        except (OSError, http.client.HTTPException):
            status, body = 0, b""
        if status == 200:
            return body
        time.sleep(0.05)
    raise NotServing(f"no 200 from {request.path}; it answered {said}, and wrote last: {_last_line(server.log)}")


def resident_mb(pid: int) -> float:
    """Memory of one process that is in RAM, MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) * 1024 / 1e6
    said = subprocess.run(("ps", "-o", "rss=", "-p", str(pid)), capture_output=True, text=True, check=True)
    return int(said.stdout) * 1024 / 1e6


def _exchange(port: int, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "nothing"

"""The processes behind `up` and `serve`: sockets, children, and telling a person when they answer."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import orjson

from flyball.engine.bundle import read_contract
from flyball.project.records import Project
from flyball.registry.records import Deployment
from flyball.serving.options import Options
from flyball.serving.sockets import address
from flyball.serving.supervisor import Child, fresh_metrics, supervise
from flyball.serving.worker import metrics_folder
from flyball.store import Home

#: how often a server that does not answer yet is asked again.
ASK_S = 0.1
ASK_TIMEOUT_S = 2


def serving_options(projects: Sequence[Project], models: tuple[str, ...] = ()) -> Options:
    """What workers of several projects are told: the widest of their limits."""
    if not projects:
        return Options(models=models)
    return Options(
        max_body_bytes=max(item.serving.max_body_bytes for item in projects),
        timeout_s=max(item.serving.timeout_s for item in projects),
        segment_s=min(item.journal.segment_s for item in projects),
        models=models,
    )


def url_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds a listening socket."""
    host, port = address(listening)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # named, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def lifeline() -> Iterator[int]:
    """A file descriptor for children to read from: it ends when this process does, however it ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


def dashboard_child(home: Home, listening: socket.socket, *, serve_url: str, parent_fd: int) -> Child:
    """The control plane on an open socket."""
    host, port = address(listening)
    places = ("--home", str(home.path), "--host", host, "--port", str(port), "--serve-url", serve_url)
    descriptors = ("--fd", str(listening.fileno()), "--parent-fd", str(parent_fd))
    argv = (*_python("flyball.dashboard.server"), *places, *descriptors)
    return Child(name="dashboard", argv=argv, pass_fds=(listening.fileno(), parent_fd))


def loop_child(home: Home, *, parent_fd: int) -> Child:
    """The loop of every project in the home."""
    argv = (*_python("flyball.loop.process"), "--home", str(home.path), "--parent-fd", str(parent_fd))
    return Child(name="loop", argv=argv, pass_fds=(parent_fd,))


def run_until_told(home: Home, children: Sequence[Child], announce: Callable[[threading.Event], None]) -> None:
    """Keep the children running until SIGINT or SIGTERM; then drain them. `announce` runs beside, until the event is set."""
    stop = threading.Event()

    def end(number: int, _: Any) -> None:
        stop.set()
        # A second time means at once: the children see the lifeline's end.
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    fresh_metrics(metrics_folder(home))
    teller = threading.Thread(target=announce, args=(stop,), name="announce", daemon=True)
    teller.start()
    try:
        supervise(children, stop=stop, log=lambda line: click.echo(line, err=True))
    finally:
        stop.set()
        teller.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for(url: str, stop: threading.Event, *, accept: Callable[[int], bool]) -> bool:
    """Ask until the answer's status is accepted; False when told to stop first."""
    while not stop.is_set():
        status = ask(url)
        if status is not None and accept(status):
            return True
        stop.wait(ASK_S)
    return False


def ask(url: str) -> int | None:
    """The status of a GET; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:  # noqa: S310  # our own http address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def example(home: Home, deployment: Deployment, url: str) -> str:
    """A command that asks a live model for a prediction, with a row its contract takes."""
    folder, _ = deployment.bundles[deployment.live]
    row = orjson.dumps({"inputs": [dict(read_contract(home.path / folder).example)]}).decode()
    quoted = row.replace("'", "'\\''")
    return f"curl -s {url}/models/{deployment.model}/predict -d '{quoted}'"


def _python(module: str) -> tuple[str, ...]:
    # -P: the folder it is started in holds the user's modules, which must not stand in for ours.
    return (sys.executable, "-P", "-m", module)

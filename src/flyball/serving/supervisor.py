"""Keeps processes running: starts them, restarts what dies, ends them together. Writes nothing, decides nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree

from flyball.engine.threads import cores
from flyball.serving.options import Options, worker_argv
from flyball.serving.parent import VARIABLE
from flyball.serving.sockets import is_local, refuse_new
from flyball.store import Home

#: how often the children are looked at.
LOOK_S = 0.1
#: waits before the restarts of a child that keeps dying young; the last one for every further restart.
BACKOFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
#: a child that lived this long did not die young.
YOUNG_S = 10.0
#: what is still running this long after SIGTERM is killed.
PATIENCE_S = 15.0

#: told in one line what was started, what died, what was killed.
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to keep running."""

    name: str
    argv: Sequence[str]
    #: whole environment; None = the supervisor's own.
    env: Mapping[str, str] | None = None
    #: file descriptors it inherits, under the same numbers.
    pass_fds: tuple[int, ...] = ()
    #: of those, the listening sockets that it answers on, which `supervise` closes when it ends.
    listening: tuple[socket.socket, ...] = ()


@dataclass(slots=True)
class _Running:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    #: deaths in a row that came early.
    young_deaths: int = 0
    restart_at: float = field(default=0.0)


def supervise(children: Sequence[Child], *, stop: threading.Event, log: Log) -> None:
    """Run `children` until `stop` is set; then SIGTERM to all, 15 s of patience, SIGKILL. Returns when all have ended.

    A child that dies is started again within a second, or, if it dies young again and again, after up to 5 s. Each
    gets a pipe (`parent.watch_parent`) that closes when this process ends, however it ends. Children are in process
    groups of their own, so Ctrl-C in a terminal reaches the supervisor only.

    At the end nobody can connect any more before a child is told: whoever has connected by then is still answered.
    """
    reading, writing = os.pipe()
    running = [_Running(child) for child in children]
    try:
        while not stop.is_set():
            for item in running:
                _look(item, reading, log)
            stop.wait(LOOK_S)
    finally:
        _end(running, log)
        os.close(writing)
        os.close(reading)


def worker_children(home: Home, listening: socket.socket, count: int, options: Options) -> list[Child]:
    """The serving workers of one server as children; they share `listening`, which `supervise` closes."""
    fd = listening.fileno()
    public = options.public or not is_local(listening)
    options = replace(options, public=public, threads=max(cores() // count, 1))
    # One thread each: workers are the parallelism, and they share the cores. Those left over are for large batches.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return [
        Child(
            name=f"worker {index}",
            # -P: the folder it is started in holds the user's modules, which must not stand in for ours.
            argv=(sys.executable, "-P", "-m", "flyball.serving.worker", *worker_argv(home.path, fd, index, options)),
            env=env,
            pass_fds=(fd,),
            listening=(listening,),
        )
        for index in range(count)
    ]


def fresh_metrics(folder: Path) -> None:
    """Begin counting anew: called once when a server starts, before its workers."""
    rmtree(folder, ignore_errors=True)


def _look(item: _Running, parent_fd: int, log: Log) -> None:
    now = time.monotonic()
    if item.process is None:
        if now >= item.restart_at:
            _start(item, parent_fd, log)
        return
    status = item.process.poll()
    if status is None:
        return
    young = now - item.started_at < YOUNG_S
    item.young_deaths = item.young_deaths + 1 if young else 0
    wait = BACKOFF_S[min(max(item.young_deaths - 1, 0), len(BACKOFF_S) - 1)]
    item.process, item.restart_at = None, now + wait
    log(f"{item.child.name} ended ({_say(status)}); starting it again{f' in {wait:g} s' if wait else ''}")
    if not wait:
        _start(item, parent_fd, log)


def _start(item: _Running, parent_fd: int, log: Log) -> None:
    child = item.child
    env = {**(os.environ if child.env is None else child.env), VARIABLE: str(parent_fd)}
    try:
        item.process = subprocess.Popen(  # noqa: S603 - the argv is the program's own
            child.argv, env=env, pass_fds=(*child.pass_fds, parent_fd), stdin=subprocess.DEVNULL, process_group=0
        )
    except OSError as error:
        item.young_deaths += 1
        item.restart_at = time.monotonic() + BACKOFF_S[-1]
        log(f"{child.name} cannot be started: {error}")
        return
    item.started_at = time.monotonic()
    log(f"{child.name} started, pid {item.process.pid}")


def _end(running: Sequence[_Running], log: Log) -> None:
    alive = [(item.child.name, item.process) for item in running if item.process is not None]
    listening = {id(found): found for item in running for found in item.child.listening}.values()
    for found in listening:
        refuse_new(found)
    for _, process in alive:
        process.terminate()
    for found in listening:
        found.close()  # from now on the children decide when the port is
    deadline = time.monotonic() + PATIENCE_S
    for name, process in alive:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log(f"{name} did not end within {PATIENCE_S:g} s; killed")
            process.kill()
            process.wait()


def _say(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit {status}"

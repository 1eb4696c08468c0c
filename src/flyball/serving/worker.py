"""One serving process: `python -m flyball.serving.worker --home H --fd N --index I`, started by the supervisor.

Ends when told (SIGTERM, SIGINT) or when its supervisor is gone: lets clients leave, finishes what it has begun, closes
its journal segments.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn
import uvloop
from uvicorn.server import ServerState

from flyball.serving.app import App
from flyball.serving.cells import Cells
from flyball.serving.connections import most_connections
from flyball.serving.episodes import Episodes
from flyball.serving.journals import open_journals
from flyball.serving.loglines import Forward, LogLines, Outlet
from flyball.serving.metrics import Metrics
from flyball.serving.models import Roster
from flyball.serving.options import WorkerArguments, parse_worker
from flyball.serving.parent import watch_parent
from flyball.serving.protocol import Protocol
from flyball.serving.salt import journal_salt
from flyball.serving.sockets import BACKLOG, allow_open_files, readable, refuse_new
from flyball.serving.watch import Watch
from flyball.store import Home

#: how often what takes too long is given up, and segments are looked at.
TICK_S = 0.25
#: while a worker drains, answers ask clients that are connected to leave for this long before it stops listening.
LINGER_S = 0.3
#: requests begun are finished for at most this long.
DRAIN_S = 10


class Server(uvicorn.Server):
    """uvicorn's server, which on a signal drains instead of closing its connections at once."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
        self._drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept whoever has connected already, then stop listening; end once all that was begun is answered."""
        deadline = time.monotonic() + LINGER_S
        while any(readable(found.fileno()) for found in sockets or ()) and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        await super().shutdown(sockets)


def main(argv: Sequence[str]) -> None:
    """Serve until told to stop."""
    arguments = parse_worker(argv)
    options = arguments.options
    options = replace(options, max_connections=most_connections(options.max_connections, allow_open_files()))
    home = Home(arguments.home).made()
    log = LogLines(Outlet(sys.stderr.fileno()))
    logging.getLogger().addHandler(Forward(log))
    cells = Cells(metrics_folder(home), arguments.index)
    journals = open_journals(home, options)
    watch = Watch(home, options.models, options.threads, options.lazy)
    watch.start()
    # What is loaded stays; the collector need not look at it again while answers wait.
    gc.collect()
    gc.freeze()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch") as executor:
        app = App(
            options=options,
            metrics=Metrics(cells, arguments.index),
            metrics_folder=metrics_folder(home),
            journals=journals,
            salt=journal_salt(home),
            executor=executor,
            log=log,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, arguments, watch, log))
    journals.close()
    cells.close()
    log.close()


def metrics_folder(home: Home) -> Path:
    """Where the workers of a home count."""
    return home.serving / "metrics"


async def _serve(app: App, arguments: WorkerArguments, watch: Watch, log: LogLines) -> None:
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def drain() -> None:
        """From any thread, or a signal."""
        loop.call_soon_threadsafe(begin_to_drain)

    def begin_to_drain() -> None:
        if not app.draining:
            app.draining = True
            linger_s = LINGER_S if server.server_state.connections else 0.0
            loop.call_later(linger_s, setattr, server, "should_exit", True)

    def orphaned() -> None:
        """Nobody takes this worker's place, nor the others'."""
        refuse_new(listening)
        drain()

    listening = socket.socket(fileno=arguments.fd)
    server = Server(_config(app), drain)
    app.waiting = server.server_state.tasks
    _switch(app, watch.roster, log)
    watch_parent(orphaned, os.environ)
    watching = threading.Thread(target=_watch, args=(watch, app, loop, stop, log), name="watch", daemon=True)
    watching.start()
    episodes = Episodes(Home(arguments.home), arguments.index, log)
    telling = threading.Thread(target=_tell, args=(episodes, app, stop), name="episodes", daemon=True)
    telling.start()
    background = [asyncio.create_task(_tick(app, server.server_state)), asyncio.create_task(app.shadows.run())]
    await server.serve([listening])
    stop.set()
    await app.shadows.drained()
    for task in background:
        task.cancel()


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        http=Protocol,
        ws="none",
        lifespan="off",
        loop="none",
        access_log=False,
        log_level="error",
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_S,
    )


async def _tick(app: App, state: ServerState) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        app.bodies.sweep()
        now_s = time.monotonic()
        for connection in [*state.connections]:
            cast("Protocol", connection).look(now_s)
        app.journals.tend()
        app.metrics.alive(time.time())


def _tell(episodes: Episodes, app: App, stop: threading.Event) -> None:
    """Tell of a journal in trouble, on a thread."""
    while not stop.wait(TICK_S):
        episodes.look(app.journals.faults(), tuple(app.deployed.roster.models), now_s=time.monotonic())
    episodes.close()


def _watch(watch: Watch, app: App, loop: asyncio.AbstractEventLoop, stop: threading.Event, log: LogLines) -> None:
    """Look for new deployments on a thread, load them there, and switch on the event loop."""
    while not stop.wait(app.options.poll_s):
        if watch.look():
            loop.call_soon_threadsafe(_switch, app, watch.roster, log)


def _switch(app: App, roster: Roster, log: LogLines) -> None:
    app.deployed.switch(roster)
    for sentence in roster.degraded:
        log({"event": "degraded", "what": sentence})


if __name__ == "__main__":
    main(sys.argv[1:])

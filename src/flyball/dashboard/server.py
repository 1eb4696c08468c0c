"""The control plane as a process: `python -m flyball.dashboard.server`. It ends on SIGTERM, or when its parent does."""

from __future__ import annotations

import argparse
import os
import socket
import threading
from pathlib import Path

import uvicorn

from flyball.dashboard.app import build_app
from flyball.loop.leading import say
from flyball.registry.tokens import first_token
from flyball.serving.parent import VARIABLE, watch_parent
from flyball.serving.signals import told_to_end
from flyball.store import Home, open_database, utcnow
from flyball.store.waiting import when_there

DRAIN_S = 3


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop. Prints nothing but errors."""
    options = _parser().parse_args(arguments)
    home = Home(options.home.absolute())
    stopped = threading.Event()
    watch_parent(stopped.set, os.environ if options.parent_fd is None else {VARIABLE: str(options.parent_fd)})
    with told_to_end(stopped.set):  # once uvicorn runs it has its own way
        database = when_there(lambda: open_database(home, os.environ), stopped, say)
    if database is None:
        return
    first_token(home, database, utcnow())
    config = uvicorn.Config(
        build_app(home, database, host=options.host, serve_url=options.serve_url),
        host=options.host,
        port=options.port,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(config)

    def end_with_parent() -> None:
        stopped.wait()
        server.should_exit = True

    threading.Thread(target=end_with_parent, name="end", daemon=True).start()
    sockets = [socket.socket(fileno=options.fd)] if options.fd is not None else None
    try:
        server.run(sockets)
    except KeyboardInterrupt:
        pass  # Ctrl-C reaches the whole terminal's processes; the parent says what is to be said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flyball.dashboard.server", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the installation's folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="a listening socket that was opened by the parent, instead of the port")
    parser.add_argument(
        "--parent-fd", type=int, help=f"reading end of a pipe that ends with the parent; default: {VARIABLE}"
    )
    parser.add_argument("--serve-url", help="address of the data plane, for the examples on the pages")
    return parser


if __name__ == "__main__":
    main()

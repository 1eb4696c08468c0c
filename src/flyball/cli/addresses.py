"""One server a home, and where it listens: kept by `up` and `serve` while they run, read by the other verbs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from flyball.errors import Conflict
from flyball.store import Home, read_json, write_json

SERVE_PORT = 8080
DASHBOARD_PORT = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """`http://host:port` of each server."""

    serve: str
    #: None: only the data plane runs.
    dashboard: str | None


#: where the servers of a home listen unless told otherwise.
USUAL = Addresses(serve=f"http://127.0.0.1:{SERVE_PORT}", dashboard=f"http://127.0.0.1:{DASHBOARD_PORT}")


@contextmanager
def claimed(home: Home) -> Iterator[None]:
    """Be this home's only server until the block ends, or the process does. Raises Conflict where one runs."""
    with (home.serving / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            there = running(home) or USUAL
            raise Conflict(f"{home.path} is served already, at {there.serve}; stop that server first") from None
        try:
            yield
        finally:
            _file(home).unlink(missing_ok=True)


def keep(home: Home, addresses: Addresses) -> None:
    """Let the other verbs know. To be called inside `claimed`."""
    write_json(_file(home), asdict(addresses))


def running(home: Home) -> Addresses | None:
    """Where the server of this home listens; None when none runs. A killed one's file does not count."""
    try:
        with (home.serving / "server.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return Addresses(**read_json(_file(home))) if _file(home).exists() else None
    return None


def _file(home: Home) -> Path:
    return home.serving / "addresses.json"

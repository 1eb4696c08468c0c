"""The loop as a process: `python -m flyball.loop.process --home H`. One leads, by a lease; it beats for every project."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flyball.errors import FlyballError
from flyball.loop import heartbeat
from flyball.loop.projecting import following
from flyball.loop.site import Site, open_site
from flyball.loop.tick import tick
from flyball.pipeline.owner import is_alive, this_process
from flyball.project.load import load_project
from flyball.registry.projects import projects
from flyball.serving.parent import watch_parent
from flyball.serving.signals import told_to_end
from flyball.store import Database, Home, open_database, utcnow
from flyball.store.lease import hold, holder_of, let_go

LEASE = "loop"
BEAT_S = 10.0
#: a leader that stops renewing for this long is replaced; longer than a beat, renewed by a thread while a run goes on.
LEASE_S = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Beat until told to stop, or until the parent is gone."""
    parser = argparse.ArgumentParser(prog="flyball.loop.process")
    parser.add_argument("--home", type=Path, required=True)
    options = parser.parse_args(arguments)
    stop = threading.Event()
    watch_parent(stop.set, os.environ)
    home = Home(options.home).made()
    database = open_database(home, os.environ)
    with told_to_end(stop.set), leading(database, stop), following(home, database), ExitStack() as sites:
        opened: dict[str, Site] = {}
        pinged: dict[str, float] = {}
        while not stop.is_set():
            try:
                found = _sites(home, database, opened, sites)
            except FlyballError as error:
                _say(str(error))
                found = []
            for site in found:
                _beat(site)
                _sign_of_life(site, pinged)
                if stop.is_set():
                    break
            stop.wait(BEAT_S)
    return 0


@contextmanager
def leading(database: Database, stop: threading.Event) -> Iterator[None]:
    """Hold the loop's lease, waiting for it first, and renew it until the block ends."""
    holder = this_process()
    done = threading.Event()

    def renewed() -> bool:
        was = holder_of(database, LEASE, now=utcnow())
        if was is not None and not is_alive(was):
            let_go(database, LEASE, was)  # killed: nobody need wait for its lease to run out
        return hold(database, LEASE, holder, now=utcnow(), for_s=LEASE_S)

    def keep() -> None:
        while not done.wait(LEASE_S / 4):
            try:
                renewed()
            except FlyballError as error:  # a server that is away for a while; without it nobody else can lead either
                _say(f"lease: {error}")
        database.close()  # this thread's connection

    while not stop.is_set() and not renewed():
        stop.wait(1.0)
    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        let_go(database, LEASE, holder)


def _sites(home: Home, database: Database, opened: dict[str, Site], stack: ExitStack) -> list[Site]:
    """A site for every project of the home that can be read; one that cannot is told and tried again next beat."""
    for name, directory in projects(database).items():
        if name in opened:
            continue
        try:
            project = load_project(directory)
            opened[name] = stack.enter_context(open_site(project, home, database, _say))
        except FlyballError as error:
            _say(f"{name}: {error}")
    return list(opened.values())


def _beat(site: Site) -> None:
    try:
        tick(site, now=utcnow(), aliases=False)  # `following` does that
    except FlyballError as error:
        _say(f"{site.model}: {error}")
    except Exception as error:  # noqa: BLE001  # one project's trouble must not end the others' loop
        _say(f"{site.model}: unexpected {type(error).__name__}: {error}")


def _sign_of_life(site: Site, pinged: dict[str, float]) -> None:
    """After a beat, at most once a minute for each model; `pinged`: when last."""
    variable, now_s = site.project.alerts.heartbeat_env, time.monotonic()
    if variable is not None and heartbeat.due(pinged.get(site.model), now_s):
        pinged[site.model] = now_s
        heartbeat.ping(variable)


def _say(line: str) -> None:
    print(f"{utcnow():%Y-%m-%d %H:%M:%S} {line}", file=sys.stderr, flush=True)  # noqa: T201  # the process's log


if __name__ == "__main__":
    sys.exit(main())

"""The loop as a process: `python -m flyball.loop.process --home H`. One leads, by a lease; it beats for every project."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from flyball.errors import FlyballError
from flyball.loop import heartbeat
from flyball.loop.leading import Beats, leading, say
from flyball.loop.projecting import following
from flyball.loop.site import Site, open_site
from flyball.loop.tick import tick
from flyball.project.load import load_project
from flyball.registry.projects import projects
from flyball.serving.parent import watch_parent
from flyball.serving.signals import told_to_end
from flyball.store import Database, Home, open_database, utcnow
from flyball.store.waiting import when_there

BEAT_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Beat until told to stop, or until the parent is gone."""
    parser = argparse.ArgumentParser(prog="flyball.loop.process")
    parser.add_argument("--home", type=Path, required=True)
    options = parser.parse_args(arguments)
    stop = threading.Event()
    watch_parent(stop.set, os.environ)
    home = Home(options.home).made()
    with told_to_end(stop.set):
        database = when_there(lambda: open_database(home, os.environ), stop, say)
        if database is not None:
            _lead(home, database, stop)
    return 0


def _lead(home: Home, database: Database, stop: threading.Event) -> None:
    """Beat while this process leads."""
    beats = Beats()
    opened: dict[str, Site] = {}
    pinged: dict[str, float] = {}
    with leading(database, stop, beats=beats) as leads, following(home, database), ExitStack() as sites:
        while not stop.is_set():
            try:
                # Whoever stood still, or was away for a while, may find that another process leads by now.
                found = _sites(home, database, opened, sites) if leads() else []
            except FlyballError as error:
                say(str(error))
                found = []
            for site in found:
                with beats.beat():
                    _beat(site)
                _sign_of_life(site, pinged)
                if stop.is_set():
                    break
            stop.wait(BEAT_S)


def _sites(home: Home, database: Database, opened: dict[str, Site], stack: ExitStack) -> list[Site]:
    """A site for every project of the home that can be read; one that cannot is told and tried again next beat."""
    for name, directory in projects(database).items():
        if name in opened:
            continue
        try:
            project = load_project(directory)
            opened[name] = stack.enter_context(open_site(project, home, database, say))
        except FlyballError as error:
            say(f"{name}: {error}")
    return list(opened.values())


def _beat(site: Site) -> None:
    try:
        tick(site, now=utcnow(), aliases=False)  # `following` does that
    except FlyballError as error:
        say(f"{site.model}: {error}")
    except Exception as error:  # noqa: BLE001  # one project's trouble must not end the others' loop
        say(f"{site.model}: unexpected {type(error).__name__}: {error}")


def _sign_of_life(site: Site, pinged: dict[str, float]) -> None:
    """After a beat, at most once a minute for each model; `pinged`: when last."""
    variable, now_s = site.project.alerts.heartbeat_env, time.monotonic()
    if variable is not None and heartbeat.due(pinged.get(site.model), now_s):
        pinged[site.model] = now_s
        heartbeat.ping(variable)


if __name__ == "__main__":
    sys.exit(main())

"""`flyball demo`: a year of New York's flights through one model, end to end, and the story at its end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from flyball.cli.addresses import claimed
from flyball.demo import data, stage, year
from flyball.demo.arms import train_refused
from flyball.demo.progress import Progress, read_progress, write_progress
from flyball.demo.story import Spent, summary, told
from flyball.demo.telling import Teller
from flyball.errors import Mistake, Refused
from flyball.journal.carry import carry
from flyball.loop import release
from flyball.loop.leading import leading
from flyball.loop.site import Site, open_site
from flyball.monitor import streams
from flyball.pipeline.runs import runs_of, unfinished
from flyball.project.load import load_project
from flyball.registry import live
from flyball.registry.gate import sentence
from flyball.registry.versions import models
from flyball.store import Database, Home, find_home, open_database
from flyball.store.database import DATABASE_URL

#: the first day that is lived; January and February train version 1.
FIRST_DAY = datetime(2013, 3, 1, tzinfo=ZoneInfo(data.TIMEZONE))
ALL_DAYS = 306
WORKERS = 2


def demo(
    *,
    days: int | None = None,
    json_output: bool = False,
    home: Path | None = None,
    late_minutes: int = 15,
    airports: str = "EWR JFK LGA",
) -> None:
    """Live `days` days from 1 March 2013 on; go on where a killed demo was. Stays up at the end only in a terminal."""
    count = min(days or ALL_DAYS, ALL_DAYS)
    settings: dict[str, Any] = {"days": count, "late_minutes": late_minutes, "airports": airports}
    if os.environ.get(DATABASE_URL):  # its processes would write a made-up year there, beside real models
        raise Mistake(f"the demo lives in a database of its own; unset {DATABASE_URL} to run it")
    place = find_home(Path.cwd(), {}, home) if home else find_home(Path.cwd(), os.environ)
    teller = Teller(quiet=json_output)
    # Before anything is cleared: another demo, or a server, may live in this home.
    with _ended_by_signals(), claimed(place.made()), teller:
        place, database, progress = _begin(place, settings, teller)
        folder = stage.write_project(place, settings)
        project = load_project(folder)
        with (
            leading(database, threading.Event()),
            open_site(project, place, database, teller.say) as site,
        ):
            site.workers.warm()  # it imports its libraries while the flights are read
            threading.Thread(target=streams.warm, daemon=True).start()
            flights = stage.world_flights(folder, project)
            world = year.World(flights=flights, days=tuple(data.days(flights, FIRST_DAY, count)))
            teller.begin(site, world, progress.settings)
            progress = _first_version(site, world, progress)
            with (
                stage.running(place, database, workers=WORKERS, say=teller.note) as addresses,
                year.connected(addresses.serving, clients=WORKERS) as server,
            ):
                year.wait_for_deployment(site, server)
                teller.first_version(site, addresses)
                progress = _live(site, server, world, progress, teller)
                record = _end(site, server, world, progress, addresses)
                teller.end(record, told(record), addresses)
                if json_output:
                    sys.stdout.write(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode() + "\n")
                elif sys.stdout.isatty():
                    threading.Event().wait()


def _begin(home: Home, settings: dict[str, Any], teller: Teller) -> tuple[Home, Database, Progress]:
    """The home with its database, and how far the demo with these settings is; another demo's traces are cleared."""
    database = open_database(home, os.environ)
    progress = read_progress(home)
    if progress is not None and not progress.finished and progress.settings == settings:
        teller.say(f"going on after {progress.days_done} days")
        return home, database, progress
    if progress is not None or models(database):
        stage.clear(home, database)
        database = open_database(home, os.environ)
    progress = Progress(settings=settings, days_done=0, finished=False, spent=Spent())
    write_progress(home, progress)
    return home, database, progress


def _first_version(site: Site, world: year.World, progress: Progress) -> Progress:
    """Version 1, from January and February, through the project's own pipeline; resumed if it was cut off."""
    now = year.beat_of(world.days[0])
    if live.current(site.database, site.model) is not None:
        return progress
    began = time.monotonic()
    begun = unfinished(site.database, site.model)
    if begun:
        first = release.resume(site, begun[0].id, now=now)
    else:
        first = release.retrain(site, now=now, reason="first", why="first version, from January and February")
    if not first.passed:
        raise Refused(f"the first version was refused, so there is nothing to serve: {sentence(first.verdict)}")
    return replace(progress, spent=progress.spent + Spent(wall_s=time.monotonic() - began, train_s=first.seconds))


def _live(site: Site, server: year.Server, world: year.World, progress: Progress, teller: Teller) -> Progress:
    """Every day that was not lived yet; progress is kept after each."""
    for number in range(progress.days_done, len(world.days)):
        began = time.monotonic()
        lived = year.live_day(site, server, world, number)
        done = lived.tick.release
        trained = (done.seconds if done is not None else 0.0) + _blind_too(site)
        progress = progress.day_lived(Spent(wall_s=time.monotonic() - began, train_s=trained, ask_s=lived.ask_s))
        write_progress(site.home, progress)
        teller.day(site, world, number)
    return progress


def _blind_too(site: Site) -> float:
    """Train for the blind arm what the gate refused, unless that was done; seconds it took."""
    refused = [run.id for run in runs_of(site.database, site.model) if run.status == "refused"]
    return sum(train_refused(site, run) for run in refused)


def _end(
    site: Site, server: year.Server, world: year.World, progress: Progress, addresses: stage.Stage
) -> dict[str, Any]:
    """The last outcomes, and the summary."""
    began = time.monotonic()
    year.post_last_outcomes(site, server, world)
    carry(site.home, site.database, now=world.days[-1])
    record = summary(site, world, progress.spent, addresses.dashboard)
    record["wall_s"] = round(progress.spent.wall_s + time.monotonic() - began, 1)
    write_progress(site.home, replace(progress, finished=True))
    return record


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: everything it started is stopped, what was lived is kept."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

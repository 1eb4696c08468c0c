"""Living the year: outcomes come in, the loop beats, and the day's flights are asked hour by hour.

A day that was cut off is lived again from its beginning: every request carries an Idempotency-Key made of its day and
hour, so the lake keeps one prediction a flight, the first, however often it is asked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.client import Client
from flyball.demo.data import FEATURES
from flyball.errors import Unavailable
from flyball.loop.site import Site
from flyball.loop.tick import Tick, tick
from flyball.registry import live
from flyball.rollout import book

#: the loop beats at four in the morning, before the first departure,
HOUR_OF_BEAT = 4
#: and again at noon while a candidate is on its way: by then the first flights of the day have landed.
HOUR_OF_SECOND_BEAT = 12
#: workers are waited for this long to take up a new deployment.
SWAP_TIMEOUT_S = 30.0
#: and this long for their shadows.
SHADOWS_TIMEOUT_S = 3.0
#: no outcome comes later after its departure.
LONGEST_FLIGHT = timedelta(days=4)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ints = npt.NDArray[np.int64]

_SHADOWED = re.compile(r"^flyball_shadow_total\{[^}]*\} (\S+)", re.MULTILINE)
_GENERATIONS = re.compile(r'^flyball_model_info\{(?=[^}]*variant="live")[^}]*generation="(\d+)"[^}]*\} 1', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class World:
    """What happens whether anybody predicts it or not."""

    #: `data.flights()` of the airports in question, with `late`: 1, 0, or null where it never arrived.
    flights: pd.DataFrame
    #: local midnights of the days to live.
    days: tuple[datetime, ...]

    # The columns as arrays, made once: a table would be cut several times a day, column by column.

    @cached_property
    def departures(self) -> Ints:
        """The flights' scheduled times in microseconds since 1970, ascending."""
        return _micros(self.flights["timestamp"])

    @cached_property
    def known(self) -> Ints:
        """When their outcomes were known, likewise; long before 1970 where they never were."""
        return _micros(self.flights["known_at"])

    @cached_property
    def late(self) -> npt.NDArray[np.float64]:
        return self.flights["late"].to_numpy(dtype=np.float64)

    @cached_property
    def keys(self) -> npt.NDArray[np.object_]:
        return self.flights["flight"].to_numpy(dtype=object)

    @cached_property
    def features(self) -> tuple[npt.NDArray[Any], ...]:
        """In the order of FEATURES: numbers as float64, texts as objects."""
        return tuple(_array(self.flights[name]) for name in FEATURES)


def _micros(column: pd.Series) -> Ints:
    times = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(times.to_numpy(dtype="datetime64[us]").astype(np.int64), dtype=np.int64)


def _array(column: pd.Series) -> npt.NDArray[Any]:
    return column.to_numpy(dtype=np.float64 if column.dtype.kind == "f" else object)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The running data plane, and who speaks to it."""

    #: one for each prediction request under way at a time.
    clients: tuple[Client, ...]
    #: for outcomes, which may come in beside them.
    outcomes: Client
    #: a thread for each of these.
    threads: Executor


@contextmanager
def connected(url: str, *, clients: int) -> Iterator[Server]:
    """The server at an address, spoken to by so many clients at a time."""
    with ThreadPoolExecutor(clients + 1) as threads:
        yield Server(clients=tuple(Client(url) for _ in range(clients)), outcomes=Client(url), threads=threads)


def beat_of(day: datetime) -> datetime:
    """When the loop beats on a day."""
    return day.replace(hour=HOUR_OF_BEAT)


def second_beat_of(day: datetime) -> datetime:
    return day.replace(hour=HOUR_OF_SECOND_BEAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A day, lived."""

    #: of the morning's beat, where retraining is decided.
    tick: Tick
    #: seconds of asking and being answered.
    ask_s: float


def live_day(site: Site, server: Server, world: World, number: int) -> Lived:
    """The `number`-th day, from four in the morning on."""
    day = world.days[number]
    morning, noon, midnight = beat_of(day), second_beat_of(day), day + timedelta(days=1)
    since = second_beat_of(world.days[number - 1]) if number else morning - timedelta(days=1)
    post_outcomes(site, server, world, since=since, until=morning)
    done = _beat(site, server, morning)
    if book.active(site.database, site.model) is None:
        # Nothing is decided at noon: what has come true by then comes in while flights are asked about.
        posting = server.threads.submit(post_outcomes, site, server, world, since=morning, until=noon)
        ask_s = ask(site, server, world, day, midnight)
        posting.result()
    else:
        scored = shadowed(server)
        ask_s = ask(site, server, world, day, noon)
        wait_for_shadows(server, scored + len(hours_of(world, departing(world, day, noon))))
        post_outcomes(site, server, world, since=morning, until=noon)
        _beat(site, server, noon)
        ask_s += ask(site, server, world, noon, midnight)
    return Lived(tick=done, ask_s=ask_s)


def _beat(site: Site, server: Server, now: datetime) -> Tick:
    """The workers answer with what it has made live, if anything, when it ends."""
    before = live.current(site.database, site.model)
    done = tick(site, now=now)
    if live.current(site.database, site.model) != before:
        wait_for_deployment(site, server)
    return done


def post_last_outcomes(site: Site, server: Server, world: World) -> int:
    """Of the last day's flights, and of those still in the air then."""
    last = second_beat_of(world.days[-1])
    return post_outcomes(site, server, world, since=last, until=last + timedelta(days=2))


def post_outcomes(site: Site, server: Server, world: World, *, since: datetime, until: datetime) -> int:
    """What came true between two beats, of flights that were asked about."""
    # What comes true now departed in the last days; what departed before the first day, or after the last, was never asked.
    last = world.days[-1] + timedelta(days=1)
    span = departing(world, max(world.days[0], since - LONGEST_FLIGHT), min(until, last))
    known = world.known[span]
    now = np.flatnonzero((known > _micro(since)) & (known <= _micro(until)))
    if not len(now):
        return 0
    rows = [
        {"key": key, "value": int(late), "timestamp": at}
        for key, late, at in zip(world.keys[span][now], world.late[span][now], moments(known[now]), strict=True)
    ]
    return server.outcomes.outcomes(site.model, rows, idempotency_key=f"outcomes-{until:%Y%m%d%H}")


def ask(site: Site, server: Server, world: World, start: datetime, end: datetime) -> float:
    """Every flight scheduled in [start, end), one request per scheduled hour; seconds it took."""
    began = time.monotonic()
    span = departing(world, start, end)
    rows, keys, times = values(world, span), world.keys[span].tolist(), moments(world.departures[span])
    hours = hours_of(world, span)

    def ask_some(number: int) -> None:
        for hour in hours[number :: len(server.clients)]:
            server.clients[number].predict(
                site.model,
                {"columns": list(FEATURES), "data": rows[hour]},
                key=keys[hour],
                timestamp=times[hour],
                idempotency_key=f"{times[hour.start]:%Y%m%d-%H}",
            )

    list(server.threads.map(ask_some, range(len(server.clients))))
    return time.monotonic() - began


def departing(world: World, start: datetime, end: datetime) -> slice:
    """Where the flights scheduled in [start, end) lie among all, which are in time order."""
    first, after = np.searchsorted(world.departures, [_micro(start), _micro(end)])
    return slice(int(first), int(after))


def hours_of(world: World, span: slice) -> list[slice]:
    """Where each scheduled hour's flights lie among those of a day, which are in time order."""
    hours = world.features[FEATURES.index("hour")][span]
    cuts = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(hours)]
    return [slice(first, after) for first, after in pairwise(cuts) if after > first]


def values(world: World, span: slice) -> list[list[Any]]:
    """Rows as JSON values: numbers, texts, null where the weather was not recorded."""
    columns = [array[span].tolist() for array in world.features]
    return [[None if value != value else value for value in row] for row in zip(*columns, strict=True)]


def moments(micros: Ints) -> list[datetime]:
    """Microseconds since 1970 as times in UTC."""
    return [at.replace(tzinfo=UTC) for at in micros.astype("datetime64[us]").tolist()]


def _micro(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def wait_for_deployment(site: Site, server: Server) -> None:
    """Until every worker answers with the newest deployment: the year is lived faster than workers look for news."""
    deployed = live.current(site.database, site.model)
    if deployed is None:
        return
    wanted = {str(deployed.generation)}
    deadline = time.monotonic() + SWAP_TIMEOUT_S
    while time.monotonic() < deadline:
        # A generation stands here as long as any worker answers with it.
        if set(_GENERATIONS.findall(str(server.clients[0].get("/metrics")))) == wanted:
            return
        time.sleep(0.02)
    raise Unavailable(f"the workers did not take up generation {deployed.generation} within {SWAP_TIMEOUT_S:g} s")


def shadowed(server: Server) -> float:
    """Requests of which something became by a shadow, since the server began."""
    return sum(map(float, _SHADOWED.findall(str(server.clients[0].get("/metrics")))))


def wait_for_shadows(server: Server, expected: float) -> None:
    """Until shadows have scored the morning, which they do after its answers have left: noon decides by what they say.

    For a moment only: what was asked already by a demo that was stopped is not scored again, nor what died with a worker.
    """
    deadline = time.monotonic() + SHADOWS_TIMEOUT_S
    while shadowed(server) < expected and time.monotonic() < deadline:
        time.sleep(0.02)

"""Eleven days of the flights' spring under `flyball up`, in which everything goes wrong; then invariants.sql is asked.

Processes are killed, the disk is full, PostgreSQL is cut off, the clock jumps: by a fixed seed, in a life whose days take
seconds (clock.c). Every answer that was given is kept here, and must be in the lake once.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flyball.client import Client, Rejected
from flyball.demo import data, stage, year
from flyball.demo.main import FIRST_DAY
from flyball.demo.stage import MODEL
from flyball.engine.bundle import verify_bundle
from flyball.errors import FlyballError, Unavailable
from flyball.journal import lake
from flyball.loop.process import BEAT_S
from flyball.project.load import load_project
from flyball.registry.versions import versions
from flyball.store import Home, moment, open_database
from flyball.store.database import DATABASE_URL
from tests.acceptance.chaos.judge import broken
from tests.acceptance.cli.shell import FLYBALL, environment, free_port
from tests.acceptance.demo.conftest import processes, until
from tests.integration.postgres import Server, running, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prlimit and LD_PRELOAD"),
]

CLOCK = Path(__file__).with_name("clock.c")
COMPILER = shutil.which("cc")
SEED = 1788
DAYS = 11
BUDGET, BUDGET_WINDOW_S = 3, 365 * 86_400
#: small trees and a third of the flights: what is tried is the machinery, not the model.
SETTINGS = (
    ("trees = 150", "trees = 20"),
    ("p99_ms <= 20", "p99_ms <= 2000"),  # for whatever machine
    ('schedule = "0 4 * * 1"', 'schedule = "0 4 * * *"'),
    ('cooldown = "9d"', 'cooldown = "3d"'),
    ('budget = "15/365d"', f'budget = "{BUDGET}/365d"'),
)
WORKER, LOOP, CONTROL, STEPS = (
    f"flyball.{name}" for name in ("serving.worker", "loop.process", "dashboard.server", "pipeline.template")
)
#: what may go wrong in a day; each at least once.
TROUBLES = ("worker", "loop", "control", "step", "full", "database", "back", "forth", "none")


@dataclass
class Life:
    """What runs, and what its asker keeps."""

    home: Home
    server: Server
    environ: dict[str, str]
    clock: Path
    world: year.World
    client: Client
    troubles: list[str] = field(default_factory=list)
    answered: list[tuple[str, str, int, bool]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    #: outcomes that were not taken yet: (idempotency key, rows).
    waiting: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)

    def set_clock(self, at: datetime) -> None:
        """For every process of the fleet, those that run too."""
        write_clock(self.clock, at)

    def kill(self, module: str) -> bool:
        """kill -9 of one process of the module, where there is one."""
        found = sorted(processes(module, str(self.home.path)))
        for pid in found[:1]:
            os.kill(pid, signal.SIGKILL)
        return bool(found)


def write_clock(path: Path, at: datetime) -> None:
    """In place: the processes have mapped the file."""
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("<q", round(at.timestamp() - time.time())))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Eleven days, lived to their end; what was started is stopped, PostgreSQL still answers."""
    reason = why_not() or (None if COMPILER else "no C compiler: neither gcc nor another cc on the PATH")
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("spring")
    with running() as server:
        clock = folder / "clock"
        preload = folder / "clock.so"
        subprocess.run([COMPILER or "", "-shared", "-fPIC", "-O2", "-o", str(preload), str(CLOCK)], check=True)
        environ = environment(
            **{DATABASE_URL: server.new_database(), "LD_PRELOAD": str(preload), "CLOCK_OFFSET": str(clock)}
        )
        home = Home(folder / "home").made()
        project = write_project(home)
        flights = stage.world_flights(project, load_project(project))
        world = year.World(flights=flights, days=tuple(data.days(flights, FIRST_DAY, DAYS)))
        write_clock(clock, year.beat_of(world.days[0]))
        argv = [FLYBALL, "run", "--project", str(project), "--home", str(home.path)]
        first = subprocess.run([*argv, "--fail-on-refusal"], env=environ, capture_output=True, text=True, check=False)
        assert first.returncode == 0, first.stdout + first.stderr
        port = free_port()
        argv = [FLYBALL, "up", str(project), "--home", str(home.path), "--workers", "2"]
        argv += ["--port", str(port), "--ui-port", str(free_port())]
        with (folder / "up.log").open("w") as log:
            up = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
            client = Client(f"http://127.0.0.1:{port}")
            try:
                found = Life(home=home, server=server, environ=environ, clock=clock, world=world, client=client)
                until(lambda: ready(client), "the workers", 180)
                live(found)
                settle(found)
                up.send_signal(signal.SIGINT)
                assert up.wait(60) == 0
            except BaseException:
                sys.stderr.write((folder / "up.log").read_text()[-8000:])
                raise
            finally:
                client.close()
                up.kill()
                up.wait()
        yield found


def ready(client: Client) -> bool:
    try:
        client.get("/v1/models")
        return bool(client.get("/readyz").get("ready", True))
    except (FlyballError, AttributeError):
        return False


def write_project(home: Home) -> Path:
    folder = stage.write_project(home, {"late_minutes": 15, "airports": "LGA"})
    text = (folder / "flyball.toml").read_text()
    for old, new in SETTINGS:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "flyball.toml").write_text(text)
    return folder


def live(life: Life) -> None:
    """Each day: what came true since the last is told, one thing goes wrong, and the day's flights are asked meanwhile."""
    chance = random.Random(SEED)
    life.troubles = [*TROUBLES, *chance.choices(TROUBLES, k=DAYS - len(TROUBLES))]
    chance.shuffle(life.troubles)
    for number, trouble in enumerate(life.troubles):
        morning = year.beat_of(life.world.days[number])
        life.set_clock(morning)
        tell(life, number)
        mend = go_wrong(life, trouble, morning)
        ask(life, number, while_full=trouble == "full", before_asking=lambda trouble=trouble: kill_step(life, trouble))
        mend()
        tell(life, number)
        let_the_loop_see(life, morning)


def let_the_loop_see(life: Life, morning: datetime) -> None:
    """Days take seconds, and a beat of the loop some too: wait for it to have judged yesterday, but no longer than this."""
    database = open_database(life.home, life.environ)
    end = time.monotonic() + 6.0
    while time.monotonic() < end:
        judged = database.one("SELECT max(ends) AS ends FROM \"window\" WHERE kind = 'drift'")
        if judged is not None and judged["ends"] and moment(judged["ends"]) >= morning - timedelta(hours=12):
            break
        time.sleep(0.25)
    database.close()


def go_wrong(life: Life, trouble: str, morning: datetime) -> Any:
    """Begin a day's trouble; what ends it."""
    if trouble in ("worker", "loop", "control"):
        assert life.kill({"worker": WORKER, "loop": LOOP, "control": CONTROL}[trouble])
    elif trouble == "full":
        limit_files(life, 0)
        return lambda: limit_files(life, resource.RLIM_INFINITY)
    elif trouble == "database":
        life.server.stop()
        return life.server.start
    elif trouble in ("back", "forth"):
        life.set_clock(morning + timedelta(hours=-30 if trouble == "back" else 30))
        time.sleep(3)  # for as long as this, not until something: nothing says that a clock was looked at
    return lambda: None


def limit_files(life: Life, size: int) -> None:
    """No file may grow beyond this in the loop and the workers: as on a full disk, writing fails. Their successors may."""
    for module in (WORKER, LOOP):
        for pid in processes(module, str(life.home.path)):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(size, hard) if hard >= 0 else size, hard))


def kill_step(life: Life, trouble: str) -> None:
    """In the middle of a day: the process of a step that runs, with the template that forked it."""
    if trouble == "step":
        life.kill(STEPS)


def ask(life: Life, number: int, *, while_full: bool, before_asking: Any) -> None:
    """A day's flights, an hour a request; a request whose answer was lost is asked again under its key."""
    day = life.world.days[number]
    night = day + timedelta(hours=23, minutes=59)
    life.set_clock(night)
    before_asking()
    span = year.departing(life.world, day, day + timedelta(days=1))
    rows, keys = year.values(life.world, span), life.world.keys[span].tolist()
    times = year.moments(life.world.departures[span])
    for hour in year.hours_of(life.world, span):
        name = f"{times[hour.start]:%Y%m%d-%H}"
        asked = {"columns": list(data.FEATURES), "data": rows[hour]}
        life.asked += keys[hour]
        answer = life.client.predict(MODEL, asked, key=keys[hour], timestamp=times[hour], idempotency_key=name)
        life.answered += [
            (identity, key, answer.version, while_full) for identity, key in zip(answer.ids, keys[hour], strict=True)
        ]


def tell(life: Life, number: int) -> None:
    """What came true up to this morning; what the server does not take now is told again later."""
    morning = year.beat_of(life.world.days[number])
    flights = life.world.flights
    asked = flights["timestamp"].between(pd.Timestamp(life.world.days[0]), pd.Timestamp(morning))
    known = flights[asked & (flights["known_at"] <= pd.Timestamp(morning)) & ~flights["flight"].isin(life.told)]
    known = known[known["flight"].isin(life.asked) & known["late"].notna()]
    queued = {row["key"] for _, rows in life.waiting for row in rows}
    rows = [
        {"key": key, "value": int(late), "timestamp": at}
        for key, late, at in zip(known["flight"], known["late"], known["known_at"].dt.to_pydatetime(), strict=True)
        if key not in queued
    ]
    if rows:
        life.waiting.append((f"outcomes-{number}-{len(life.told)}", rows))
    still = []
    for name, some in life.waiting:
        try:
            life.client.outcomes(MODEL, some, idempotency_key=name)
            life.told |= {row["key"]: row["value"] for row in some}
        except (Unavailable, Rejected):
            still.append((name, some))
    life.waiting = still


def settle(life: Life) -> None:
    """The last outcomes, then peace, until nothing is left to be done."""
    last = life.world.days[-1] + timedelta(days=1, hours=12)
    life.set_clock(last)
    tell(life, DAYS - 1)
    assert life.waiting == []
    database = open_database(life.home, life.environ)
    #: what was told and decided last, and since when there is peace with it: a beat may come between, and move a rollout.
    newest, since = (0, 0), time.monotonic()

    def at_peace() -> bool:
        nonlocal newest, since
        time.sleep(1.0)  # looking costs the loop time
        open_work = database.all(
            "SELECT 1 FROM run WHERE status = 'running' UNION ALL SELECT 1 FROM outbox WHERE done_at IS NULL"
            " UNION ALL SELECT 1 FROM lake_batch WHERE done_at IS NULL"
        )
        judged = database.one("SELECT max(ends) AS ends FROM \"window\" WHERE kind = 'drift'")
        assert judged is not None
        done = judged["ends"] is not None and judged["ends"] >= f"{life.world.days[-1]:%Y-%m-%d}"
        ids = database.one("SELECT (SELECT max(id) FROM outbox) AS told, (SELECT max(id) FROM decision) AS decided")
        assert ids is not None
        found = (ids["told"], ids["decided"])
        if found != newest or not (done and not open_work and carried(life)):
            newest, since = found, time.monotonic()
        return time.monotonic() - since > 2 * BEAT_S

    until(at_peace, "the loop to have done all there is to do", 240)
    database.close()


def carried(life: Life) -> bool:
    """Whether the last of what was answered and told is in the lake."""
    with closing(lake.connect(life.home, MODEL)) as connection:
        found = {row[0] for row in connection.sql("SELECT id FROM predictions").fetchall()}
        outcomes = {row[0] for row in connection.sql("SELECT key FROM outcomes").fetchall()}
    return life.answered[-1][0] in found and set(life.told) <= outcomes


def test_nothing_that_must_hold_is_broken(life: Life) -> None:
    """invariants.sql, over all that was kept."""
    assert set(life.troubles) == set(TROUBLES)
    database = open_database(life.home, life.environ)
    kept = {
        "answered": pd.DataFrame(life.answered, columns=["id", "key", "version", "while_full"]),
        "asked": pd.DataFrame({"key": life.asked}),
        "told": pd.DataFrame({"key": list(life.told), "value": list(life.told.values())}),
        "settings": pd.DataFrame({"budget": [BUDGET], "budget_window_s": [BUDGET_WINDOW_S]}),
    }
    assert len(life.answered) > 2_500
    assert broken(life.home, database, MODEL, kept) == {}
    database.close()


def test_the_audit_is_whole(life: Life) -> None:
    """By the verb that says so."""
    argv = [FLYBALL, "audit", "verify", "--json", "--home", str(life.home.path)]
    done = subprocess.run(argv, env=life.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_versions_files_are_whole(life: Life) -> None:
    """Each row's bundle has the digest that the row says, and more than one version was made."""
    database = open_database(life.home, life.environ)
    found = versions(database, MODEL)
    for item in found:
        verify_bundle(life.home.path / item.bundle, item.digest)
    assert len(found) >= 2
    database.close()

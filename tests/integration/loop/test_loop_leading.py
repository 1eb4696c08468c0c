"""Who beats: one process, while it moves. On real databases; the lease is a short one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyball.loop.leading import LEASE, Beats, leading
from flyball.pipeline.owner import this_process
from flyball.store import Database, Home, open_database, utcnow
from flyball.store.lease import hold, holder_of

LEASE_S = 0.4
STILL_S = 0.05


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(Home(tmp_path / "home"))
    yield opened
    opened.close()


def wait(until: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def expiry(database: Database) -> str:
    row = database.one("SELECT expires_at FROM lease WHERE name = :name", name=LEASE)
    return "" if row is None else str(row["expires_at"])


def test_a_beat_that_stands_still_lets_the_lease_run_out_and_takes_it_up_when_it_ends(database: Database) -> None:
    beats = Beats()
    with leading(database, threading.Event(), beats=beats, still_s=STILL_S, lease_s=LEASE_S) as leads:
        assert leads()
        with beats.beat():
            wait(lambda: not leads())
            assert holder_of(database, LEASE, now=utcnow()) is None
        wait(leads)
    assert holder_of(database, LEASE, now=utcnow()) is None


def test_whoever_stood_still_learns_that_another_process_leads_now(database: Database) -> None:
    beats = Beats()
    with leading(database, threading.Event(), beats=beats, still_s=STILL_S, lease_s=LEASE_S) as leads:
        with beats.beat():
            wait(lambda: hold(database, LEASE, "elsewhere:1:1", now=utcnow(), for_s=600))
        wait(lambda: not leads())
    assert holder_of(database, LEASE, now=utcnow()) == "elsewhere:1:1"


def test_a_beat_in_which_a_run_goes_on_is_no_standing_still(database: Database) -> None:
    with database.write() as tx:
        tx.run(
            "INSERT INTO run (id, project, model, reason, why, decided_at, window_end, params, seed, status, owner, recorded_at)"
            " VALUES ('r', 'm', 'm', 'manual', '', '2026-01-01', '2026-01-01', '{}', 0, 'running', :owner, '2026-01-01')",
            owner=this_process(),
        )
    beats, seen = Beats(), set()
    with leading(database, threading.Event(), beats=beats, still_s=0.0, lease_s=LEASE_S) as leads, beats.beat():
        while len(seen) < 5:  # renewed again and again, for longer than a lease
            seen.add(expiry(database))
            assert leads()
            time.sleep(0.01)


@pytest.mark.parametrize(
    "module", ["flyball.loop.process", "flyball.dashboard.server"], ids=["the loop", "the control plane"]
)
def test_a_database_that_is_away_at_the_start_is_waited_for(tmp_path: Path, module: str) -> None:
    """Said once, in a line, and it ends when it is told to."""
    away = "postgresql://nobody:secret@127.0.0.1:1/none"
    argv = [sys.executable, "-m", module, "--home", str(tmp_path / "home")]
    environment = {**os.environ, "FLYBALL_DATABASE_URL": away}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert line.endswith("; waiting for it\n")
    assert "secret" not in line
    assert rest == ""

"""kill at every transition of promote, rollback and approve, and of MLflow's aliases after them: all of it, or nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flyball.loop import projecting, release
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.registry import approvals, audit, chain, holds, live
from flyball.registry.decisions import decisions
from flyball.registry.versions import versions
from flyball.rollout import book, move
from flyball.store import Home, open_database
from flyball.store.outbox import pending
from tests.integration.loop.conftest import DAY, START, aliases, settled

pytestmark = pytest.mark.slow

LATER = START + 7 * DAY
HOUR = timedelta(hours=1)
#: act -> the version that is live after it.
ACTS = {"promote": 1, "rollback": 1, "approve": 3}

#: does the act and has MLflow follow, and is gone at the named transition: nothing is cleaned up.
PROCESS = """
import os, sys
from datetime import datetime
from pathlib import Path
from flyball.loop import projecting
from flyball.rollout import move
from flyball.store import Home, open_database

folder, uri, act, now, name = sys.argv[1:]

def checkpoint(passed):
    if passed == name:
        os._exit(9)

home, now = Home(Path(folder)), datetime.fromisoformat(now)
database = open_database(home)
told = {"who": "bob", "why": "killed", "now": now, "checkpoint": checkpoint}
if act == "promote":
    move.promote(database, home, "late", 1, **told)
elif act == "rollback":
    move.rollback(database, home, "late", **told)
else:
    move.approve(database, home, "late", 3, **told)
with projecting.light_workers(home) as workers:
    projecting.deliver(home, database, workers, "late", uri=uri, now=now, checkpoint=checkpoint)
"""


@pytest.fixture(scope="module")
def prepared(begun: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """v2 is live after v1, and MLflow says so; v3 waits for another's approval than ada's. Not to be changed."""
    site = elsewhere(begun, tmp_path_factory.mktemp("moves") / "home")
    quiet = settled(site, retrain={"mode": "off"})
    release.retrain(quiet, now=LATER, why="another recipe", params={"columns": 2})
    asking = settled(quiet, gate={"approval": "human"})
    assert (
        release.retrain(asking, now=LATER + HOUR, why="newer", who="ada", params={"columns": 2}).rollout == "approval"
    )
    tick(asking, now=LATER + 2 * HOUR)
    assert aliases(asking) == {"production": 2, "staging": 3}
    asking.database.close()
    return asking


@pytest.fixture
def moving(prepared: Site, tmp_path: Path) -> Iterator[Site]:
    site = elsewhere(prepared, tmp_path / "home")
    with closing(site.database):
        yield site


def elsewhere(site: Site, folder: Path) -> Site:
    """The site with a copy of its home."""
    shutil.copytree(site.home.path, folder)
    home = Home(folder)
    return replace(
        site,
        home=home,
        database=open_database(home),
        tracking_uri=f"sqlite:///{home.mlflow / 'mlflow.db'}",
        artifact_location=str(home.mlflow / "artifacts"),
    )


def act_and_die(site: Site, act: str, transition: str, code: int = 9) -> None:
    argv = [sys.executable, "-c", PROCESS, str(site.home.path), site.tracking_uri, act]
    words = [(LATER + 3 * HOUR).isoformat(), transition]
    done = subprocess.run([*argv, *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr


def written(site: Site) -> list[tuple[object, ...]]:
    """All that a move may change."""
    tables = ("version", "deployment", "rollout", "audit", "decision", "approval", "hold", "bar", "outbox")
    return [(table, *row) for table in tables for row in site.database.all(f"SELECT * FROM {table}")]


def test_the_list_is_what_a_move_goes_through(moving: Site) -> None:
    """In its order, each once: the list and the code do not drift apart."""
    passed: list[str] = []
    told = {"who": "bob", "why": "by hand", "now": LATER + 3 * HOUR, "checkpoint": passed.append}
    move.rollback(moving.database, moving.home, "late", **told)  # type: ignore[arg-type]
    with projecting.light_workers(moving.home) as workers:
        projecting.deliver(
            moving.home,
            moving.database,
            workers,
            "late",
            uri=moving.tracking_uri,
            now=LATER,
            checkpoint=passed.append,
        )
    assert tuple(passed) == (*move.TRANSITIONS, *projecting.TRANSITIONS)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("transition", [*move.TRANSITIONS, *projecting.TRANSITIONS])
def test_a_move_killed_anywhere_is_whole_or_not_at_all(moving: Site, act: str, transition: str) -> None:
    """One production; history, stages, audit, rollouts and MLflow agree; what was not done can be done again."""
    before = written(moving)
    act_and_die(moving, act, transition)
    if transition in ("proven", "written"):
        assert written(moving) == before
        act_and_die(moving, act, "nowhere", code=0)
    elif transition == "committed":
        assert projecting.waiting(moving.database, "late") != []

    tick(moving, now=LATER + 4 * HOUR)
    becomes = ACTS[act]
    stages = {item.number: item.stage for item in versions(moving.database, "late")}
    assert [number for number, stage in stages.items() if stage == "production"] == [becomes]
    history = live.history(moving.database, "late")
    assert [item.live for item in history] == [1, 2, becomes]
    moves = [item for item in reversed(audit.entries(moving.database)) if item.act in ("promote", "rollback")]
    assert [(item.was, item.becomes, item.gate) for item in moves] == [
        (None, "v1", "passed"),
        ("v1", "v2", "passed"),
        ("v2", f"v{becomes}", "passed"),
    ]
    assert chain.verify(moving.database).faults == ()
    assert book.active(moving.database, "late") is None
    assert [item.verdict for item in decisions(moving.database, "late", kind="act")] == [act]
    assert (holds.held(moving.database, "late", LATER + 4 * HOUR) is not None) is (act == "rollback")
    assert [item.version for item in holds.bars(moving.database, "late")] == ([2] if act == "rollback" else [])
    waits = [item.version for item in approvals.waiting(moving.database, "late")]
    assert waits == ([] if act == "approve" else [3])
    assert aliases(moving) == {"production": becomes, **({} if act == "approve" else {"staging": 3})}
    assert pending(moving.database) == []
    assert [item.name for item in moving.database.all("SELECT name FROM alert WHERE name = 'alias'")] == []

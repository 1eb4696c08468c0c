"""kill at every transition of a release: the next beat finishes it, and there is one of everything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flyball.engine.bundle import verify_bundle
from flyball.loop.release import TRANSITIONS
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.runs import runs_of
from flyball.registry import live
from flyball.registry.decisions import decisions
from flyball.registry.versions import versions
from flyball.rollout import book
from tests.integration.loop.conftest import DAY, START, aliases, mlflow_versions, settled

pytestmark = pytest.mark.slow

DECIDED = START + 7 * DAY
NEXT_BEAT = DECIDED + DAY / 24

#: retrains, and is gone at the named transition: nothing is cleaned up.
PROCESS = """
import os, sys
from datetime import datetime
from pathlib import Path
from flyball.loop import release
from flyball.loop.site import open_site
from flyball.project.load import load_project
from flyball.store import Home, open_database

home, directory, now, name = sys.argv[1:]

def checkpoint(passed):
    if passed == name:
        os._exit(9)

home = Home(Path(home))
database = open_database(home)
with open_site(load_project(directory), home, database, print) as site:
    release.retrain(site, now=datetime.fromisoformat(now), why="killed", checkpoint=checkpoint)
"""


def retrain_and_die(site: Site, transition: str) -> None:
    argv = [sys.executable, "-c", PROCESS, str(site.home.path), str(site.project.directory)]
    done = subprocess.run([*argv, DECIDED.isoformat(), transition], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_release_killed_anywhere_is_finished_by_the_next_beat(site: Site, transition: str) -> None:
    """One version, one verdict, one rollout; MLflow agrees; what had been done is not done again."""
    retrain_and_die(site, transition)
    ended = transition == "registered"
    run = runs_of(site.database, "late")[0]
    assert run.status == ("released" if ended else "running")
    done = {step.name for step in steps_of(site.database, run.id) if step.status == "done"}

    made = tick(settled(site, retrain={"mode": "off"}), now=NEXT_BEAT).release
    assert (made is None) if ended else (made is not None and made.run == run.id)

    first, second = versions(site.database, "late")
    assert (second.number, second.lineage.run, second.created_at) == (2, run.id, DECIDED)
    verify_bundle(site.home.path / second.bundle, second.digest)
    gates = [(item.subject, item.verdict) for item in decisions(site.database, "late", kind="gate")]
    assert gates == [("v2", "passed"), ("v1", "passed")]
    assert [(item.candidate, item.champion, item.status) for item in book.rollouts(site.database, "late")] == [
        (2, 1, "full"),
        (1, None, "full"),
    ]
    since = DECIDED if ended else NEXT_BEAT
    assert [(item.live, item.at) for item in live.history(site.database, "late")] == [(1, START), (2, since)]
    assert mlflow_versions(site) == {1: first.lineage.mlflow_run, 2: second.lineage.mlflow_run}
    assert aliases(site) == {"production": 2}
    steps = steps_of(site.database, run.id)
    assert {step.status for step in steps} == {"done"}
    assert {step.name: step.attempts for step in steps if step.name in done} == dict.fromkeys(done, 1)
    assert [item.status for item in runs_of(site.database, "late")] == ["released", "released"]


def test_a_finished_release_is_not_done_again(site: Site) -> None:
    """Beats after the one that finished it find nothing to do."""
    retrain_and_die(site, "judged")
    quiet = settled(site, retrain={"mode": "off"})
    assert tick(quiet, now=NEXT_BEAT).release is not None
    written = [tuple(row) for row in site.database.all("SELECT * FROM version UNION ALL SELECT * FROM version")]
    for hours in (2, 3):
        assert tick(quiet, now=DECIDED + hours * DAY / 24).release is None
    assert [tuple(row) for row in site.database.all("SELECT * FROM version UNION ALL SELECT * FROM version")] == written
    assert len(live.history(site.database, "late")) == 2

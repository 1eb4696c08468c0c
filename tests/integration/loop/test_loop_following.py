"""A plain MLflow client sees a move by hand: soon where a loop runs, and where none does by the command itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from flyball.loop import projecting, release
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.registry import chain, live
from flyball.rollout import move
from flyball.store import utcnow
from tests.integration.loop.conftest import START, aliases, settled

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
FLYBALL = str(Path(sys.executable).with_name("flyball"))

#: what MLflow's own client says, in a process that knows nothing of Flyball.
CLIENT = """
import sys
from mlflow import MlflowClient
found = MlflowClient(sys.argv[1], sys.argv[1]).get_registered_model("late")
print([(alias, int(number)) for alias, number in found.aliases.items()], found.tags.get("flyball.audit_head"))
"""


@pytest.fixture
def two(site: Site) -> Site:
    """v2 is live after v1; MLflow says so."""
    quiet = settled(site, retrain={"mode": "off"})
    release.retrain(quiet, now=START + HOUR, why="another recipe", params={"columns": 2})
    tick(quiet, now=START + 2 * HOUR)
    assert aliases(quiet) == {"production": 2}
    return quiet


def flyball(site: Site, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FLYBALL_", "MLFLOW_"))}
    argv = [FLYBALL, *words, "--home", str(site.home.path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**kept, **environ}, timeout=120)


def plain_client(site: Site) -> str:
    argv = [sys.executable, "-W", "ignore", "-c", CLIENT, site.tracking_uri]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def loop(site: Site) -> Iterator[None]:
    """The loop's own process; its project may not retrain meanwhile."""
    folder = site.home.path.parent / "project"
    shutil.copytree(site.project.directory, folder)
    settings = folder / "flyball.toml"
    settings.write_text(settings.read_text().replace("[retrain]", '[retrain]\nmode = "off"'))
    with site.database.write() as tx:
        tx.run("UPDATE project SET directory = :directory", directory=str(folder))
    argv = [sys.executable, "-m", "flyball.loop.process", "--home", str(site.home.path)]
    kept: Mapping[str, str] = {name: text for name, text in os.environ.items() if not name.startswith("MLFLOW_")}
    process = subprocess.Popen(argv, env=kept, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: projecting.loop_runs(site.database), 60)
        yield
    finally:
        process.terminate()
        process.communicate()


def until(holds, seconds: float) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - began


def test_without_a_loop_the_command_itself_has_mlflow_follow(two: Site) -> None:
    """Promote and rollback: when the command ends, MLflow's client sees the move, and the audit's head as its witness."""
    for words, now_live in ((("promote", "late@1"), 1), (("rollback", "late"), 2)):
        done = flyball(two, *words, "--why", "by hand")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert aliases(two) == {"production": now_live}
        assert projecting.waiting(two.database, "late") == []
        assert plain_client(two) == f"[('production', {now_live})] {chain.head(two.database)}"


def test_without_a_loop_a_free_alias_is_there_when_its_command_ends(two: Site) -> None:
    """Given, and taken away again."""
    for words, extra in ((("late@1", "best"), "('best', 1), "), (("--delete", "late", "best"), "")):
        done = flyball(two, "alias", *words, "--why", "by hand")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert plain_client(two) == f"[{extra}('production', 2)] {chain.head(two.database)}"


def test_a_move_stands_though_mlflow_is_away(two: Site) -> None:
    """Exit 0, one line on stderr; the outbox keeps what MLflow was not told, with the reason, for the loop."""
    done = flyball(two, "promote", "late@1", "--why", "by hand", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0
    assert "late v2 → v1" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("MLflow's aliases could not be set: ")
    assert line.endswith("; `flyball up` tries again")
    assert all(event.attempts == 1 for event in projecting.waiting(two.database, "late"))
    deployed = live.current(two.database, "late")
    assert deployed is not None
    assert (deployed.live, aliases(two)) == (1, {"production": 2})
    tick(two, now=START + 3 * HOUR)
    assert aliases(two) == {"production": 1}


def test_with_a_loop_mlflow_follows_within_two_seconds(two: Site) -> None:
    """Of the commit, whatever the loop is at: by a thread of its own, without MLflow's library; the first as the last."""
    with loop(two):
        took = []
        for number in (1, 2, 1, 2):
            move.promote(two.database, two.home, "late", number, who="ada", why="by hand", now=utcnow())
            took.append(until(lambda n=number: aliases(two) == {"production": n}, 30))
        sys.stdout.write(f"MLflow followed after {', '.join(f'{item:.2f}' for item in took)} s\n")
    assert sorted(took)[-2] < 2, took  # one may wait for whoever shares the machine
    assert not (two.home.runs / "aliases.import.log").exists()
    with closing(two.database):
        assert chain.verify(two.database).faults == ()


def test_an_audit_cut_short_is_found_by_the_head_that_mlflow_keeps(two: Site) -> None:
    """Whoever cuts off an end, and every trace of it in our own database, is told on by the witness outside; while MLflow is
    away the command says that it did not look there.
    """
    assert flyball(two, "promote", "late@1", "--why", "by hand").returncode == 0
    whole = flyball(two, "audit", "verify", "--json")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert orjson.loads(whole.stdout)["mlflow_heads"] == 1
    last = two.database.last_number("audit")
    assert last is not None
    with closing(sqlite3.connect(two.home.database)) as cut, cut:
        cut.executescript(
            f"DELETE FROM deployment WHERE generation = (SELECT max(generation) FROM deployment);"
            f"DELETE FROM decision WHERE audit_head LIKE '{last}:%' OR kind = 'act';"
            f"DELETE FROM outbox WHERE payload LIKE '%\"{last}:%';"
            f"DELETE FROM audit WHERE id = {last};"
            f"UPDATE sqlite_sequence SET seq = {last - 1} WHERE name = 'audit';"
        )
    away = flyball(two, "audit", "verify", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (away.returncode, "the heads that MLflow keeps were not looked for" in away.stdout) == (0, True), away.stdout
    found = flyball(two, "audit", "verify")
    assert found.returncode == 1
    assert (
        f"#{last} is missing: the audit ends at #{last - 1}, and a later head is kept with MLflow's late"
        in found.stdout
    )

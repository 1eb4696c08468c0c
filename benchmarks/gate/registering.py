"""What a registry of 1,000 versions answers in, and what registering one costs beside what MLflow itself takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from flyball.loop import release
from flyball.loop.site import open_site
from flyball.pipeline.attempts import steps_of
from flyball.project.create import create_project
from flyball.project.load import load_project
from flyball.registry import audit, live
from flyball.registry.versions import find, listed, register, version, versions
from flyball.store import Database, Home, open_database

VERSIONS = 1_000
#: of the audit.
ENTRIES = 100_000
NOW = datetime(2026, 11, 28, tzinfo=UTC)
MODEL = "churn"

#: of the commands, user and system time of the best of so many.
ROUNDS = 5


def report() -> Iterator[tuple[str, float]]:
    """What was measured, and seconds."""
    with TemporaryDirectory() as folder:
        project = Path(folder) / MODEL
        create_project(project, MODEL)
        home = Home(project / ".flyball")
        database = open_database(home)
        yield from registering(project, home, database)
        fill(database)
        yield from reading(database)
        audited(database)
        database.close()
        yield f"flyball audit verify of {ENTRIES:,} (command)", command(project, ["audit", "verify"])
        for words in (["versions", MODEL], ["show", f"{MODEL}@500"], ["at", MODEL, "now"]):
            yield f"flyball {' '.join(words)} (command)", command(project, words)


def registering(project: Path, home: Home, database: Database) -> Iterator[tuple[str, float]]:
    """The second of two runs of the `init` template: after the fit, by what takes it. Wall seconds."""
    passed: dict[str, float] = {}

    def checkpoint(name: str) -> None:
        passed[name] = time.monotonic()

    with open_site(load_project(project), home, database, lambda _: None) as site:
        release.retrain(site, now=NOW, why="to be warm")
        made = release.retrain(site, now=NOW + timedelta(hours=1), why="measured", checkpoint=checkpoint)
    spent = {step.name: step.seconds or 0.0 for step in steps_of(database, made.run)}
    parts = {
        "bundle: contract, compile, parity, profile": spent["deploy.bundle"],
        "score, and rows replayed as requests": spent["deploy.score"],
        "gate, with p99 of 600 requests": passed["judged"] - passed["candidate-made"],
        "version, decision, rollout in one transaction": passed["registered"] - passed["tracked"],
    }
    yield from parts.items()
    yield "together, beyond MLflow's own", sum(parts.values())
    yield "MLflow's own: run, model, version", spent["deploy.track"]


def fill(database: Database) -> None:
    """Up to VERSIONS versions, each with a whole record."""
    one = version(database, MODEL, 1)
    with database.write() as tx:
        for number in range(3, VERSIONS + 1):
            lineage = replace(one.lineage, run=f"run{number}")
            register(tx, replace(one, number=number, stage="none", label=f"{MODEL}-{number}", lineage=lineage))


def reading(database: Database) -> Iterator[tuple[str, float]]:
    """In process, without a command's start."""
    cases = {
        f"list of {VERSIONS:,} versions, what a table shows": lambda: listed(database, MODEL, 3),
        f"{VERSIONS:,} whole records": lambda: versions(database, MODEL),
        "show: one by its label": lambda: find(database, MODEL, f"{MODEL}-500"),
        "at: what was live then": lambda: live.live_at(database, MODEL, NOW + timedelta(days=1)),
    }
    for name, case in cases.items():
        spent = []
        for _ in range(ROUNDS):
            began = time.process_time()
            case()
            spent.append(time.process_time() - began)
        yield name, min(spent)


def audited(database: Database) -> None:
    """Up to ENTRIES of what a person did, each with a decision that keeps the chain's head."""
    with database.write() as tx:
        for number in range(ENTRIES - 1):
            audit.record(
                tx, at=NOW, who="ada", act="freeze", model=MODEL, was=None, becomes=str(number), why="to be many"
            )


def command(project: Path, words: Sequence[str]) -> float:
    """Processor seconds of a whole command, the interpreter's start included."""
    spent = []
    for _ in range(ROUNDS):
        before = os.times()
        flyball = Path(sys.executable).with_name("flyball")
        subprocess.run([flyball, *words], cwd=project, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(spent)

"""A home with a database, projects of one module, and a check that no process outlives its test."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyball.pipeline.runs import RunRecord, create_run
from flyball.pipeline.step import ModelNames, RunContext, Window
from flyball.pipeline.task import Task
from flyball.pipeline.workers import StepWorkers
from flyball.store import Database, Home, open_database

NOW = datetime(2013, 3, 1, 6, tzinfo=UTC)


def until(condition: Callable[[], bool], what: str, deadline_s: float = 20.0) -> None:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s:g} s for: {what}"
        time.sleep(0.005)


def processes(word: str) -> list[str]:
    """Command lines of living processes that mention `word`."""
    listed = subprocess.run(["ps", "-axww", "-o", "stat=,command="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if word in line and not line.startswith("Z")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    opened = open_database(home)
    yield opened
    opened.close()


@pytest.fixture
def begin(database: Database) -> Callable[..., RunRecord]:
    """Write a new run."""

    def begun(**values: object) -> RunRecord:
        with database.write() as tx:
            run: RunRecord = create_run(
                tx,
                **{
                    "project": "flights",
                    "model": "delay",
                    "reason": "manual",
                    "why": "a test",
                    "now": NOW,
                    "window": Window(start=None, end=NOW),
                    "params": {"depth": 3},
                    "seed": 7,
                    **values,
                },
            )
        return run

    return begun


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[[str], StepWorkers]]:
    """Write pipeline.py and give the workers of the project; all of their processes are gone at the end."""
    directory = tmp_path / "project"
    directory.mkdir()
    opened = []

    def made(source: str, **options: object) -> StepWorkers:
        (directory / "pipeline.py").write_text("from flyball import step\n" + source)
        workers = StepWorkers(directory, "pipeline", log=tmp_path / "import.log", **options)
        opened.append(workers)
        return workers

    yield made
    for workers in opened:
        workers.close()
    until(lambda: not processes(str(tmp_path)), "every process of the project to end")


@pytest.fixture
def context(home: Home) -> RunContext:
    return RunContext(
        id="r1",
        path=home.runs / "r1",
        folder=home.runs / "r1",
        model=ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary"),
        refit=False,
        now=NOW,
        window=Window(start=None, end=NOW),
        params={"depth": 3},
        seed=7,
    )


@pytest.fixture
def task(home: Home, context: RunContext) -> Callable[..., Task]:
    """A first attempt at a step."""

    def made(name: str, target: str | None = None, **values: object) -> Task:
        folder = home.runs / "r1" / name
        folder.mkdir(parents=True, exist_ok=True)
        return Task(
            **{
                "name": name,
                "target": target or name,
                "inputs": {},
                "given": (),
                "constants": {},
                "context": replace(context, folder=folder / "1"),
                "log": folder / "log.txt",
                **values,
            }
        )

    return made

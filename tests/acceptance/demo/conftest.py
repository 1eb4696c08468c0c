"""Two weeks of the demo, lived once for every test that only looks at them; and the ways to live and to look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flyball.demo import data
from flyball.demo.main import FIRST_DAY
from flyball.demo.stage import MODEL
from flyball.journal import lake
from flyball.store import Database, Home, open_database

FLYBALL = str(Path(sys.executable).with_name("flyball"))
DAYS = 14
PATIENCE_S = 300.0

#: what differs between two lives of the same days.
MEASURED = ("wall_s", "train_s", "fit_s", "served_per_s", "dashboard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A demo that has ended."""

    home: Home
    summary: dict[str, Any]

    def database(self) -> Database:
        return open_database(self.home)

    def column(self, sql: str, *values: object) -> list[Any]:
        """The first column of a query over the home's database."""
        return [row[0] for row in self.rows(sql, *values)]

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.database()._connection().execute(sql, values)]

    def lake(self, sql: str) -> pd.DataFrame:
        """A query over the lake's views `predictions`, `shadow`, `outcomes` and `scored`."""
        with closing(lake.connect(self.home, MODEL)) as connection:
            found: pd.DataFrame = connection.sql(sql).to_arrow_table().to_pandas()
        return found

    def ask(self, *words: str) -> Any:
        """A verb of the command line; its JSON answer."""
        argv = [FLYBALL, *words, "--json", "--home", str(self.home.path)]
        done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "MLFLOW_"))}


def begin(home: Path, *, days: int) -> subprocess.Popen[str]:
    """Start the demo, in a process group of its own."""
    argv = [FLYBALL, "demo", "--days", str(days), "--json", "--home", str(home)]
    return subprocess.Popen(
        argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )


def live(home: Path, *, days: int = DAYS) -> Lived:
    """Live so many days to their end, or go on with them."""
    process = begin(home, days=days)
    try:
        told, error = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0, error
    return Lived(home=Home(home), summary=json.loads(told))


def until(condition: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s:g} s for: {what}"
        time.sleep(0.02)


def processes(*words: str) -> dict[int, str]:
    """Living processes whose command line holds every word: pid -> command line."""
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,stat=,command="], capture_output=True, text=True, check=True)
    found = {}
    for line in listed.stdout.splitlines():
        pid, state, command = line.split(None, 2)
        if not state.startswith("Z") and all(word in command for word in words):
            found[int(pid)] = command
    return found


def asked(days: int) -> pd.DataFrame:
    """The flights of the first `days` days."""
    table = data.flights()
    lived = [f"{day:%Y-%m-%d}" for day in data.days(table, FIRST_DAY, days)]
    return table[table["day"].isin(lived)]


def beat(number: int, *, hour: int = 4) -> datetime:
    """When the loop beats on the n-th day, from 1; at twelve too while a candidate is on its way."""
    return (FIRST_DAY + timedelta(days=number - 1)).replace(hour=hour)


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Two weeks, undisturbed."""
    return live(tmp_path_factory.mktemp("undisturbed") / "home")

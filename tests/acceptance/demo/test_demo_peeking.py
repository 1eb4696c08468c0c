"""Nothing that is known later reaches an answer, a model or a verdict: the same days with another future are the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flyball.demo import data
from flyball.demo.main import FIRST_DAY
from flyball.demo.stage import MODEL
from flyball.registry.versions import versions
from flyball.store import stamp
from tests.acceptance.demo.conftest import Lived, asked, beat, live

pytestmark = pytest.mark.slow

#: retrained at the eleventh beat, promoted at the twelfth.
DAYS = 12


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Twelve days whose future, from the thirteenth on, is another."""
    home = tmp_path_factory.mktemp("poisoned") / "home"
    flights = home / "demo" / "flights" / "flights.parquet"
    flights.parent.mkdir(parents=True)
    poisoned = with_another_future(data.flights())
    poisoned.to_parquet(flights, index=False)
    lived = live(home, days=DAYS)
    pd.testing.assert_frame_equal(pd.read_parquet(flights), poisoned)
    return lived


def with_another_future(table: pd.DataFrame) -> pd.DataFrame:
    """Every flight after the twelfth day: other weather, other delays, known at other times, all of them later."""
    random = np.random.default_rng(20130313)
    last = f"{data.days(table, FIRST_DAY, DAYS)[-1]:%Y-%m-%d}"
    future = (table["day"] > last).to_numpy()
    count = int(future.sum())
    hours = pd.to_timedelta(random.integers(1, 400, count), unit="h")
    changed = table.copy()
    changed.loc[future, "arr_delay"] = random.permutation(200 - table.loc[future, "arr_delay"].to_numpy())
    changed.loc[future, "known_at"] = (table.loc[future, "timestamp"] + hours).where(changed["arr_delay"].notna())
    for name in data.WEATHER:
        changed.loc[future, name] = random.permutation(table.loc[future, name].to_numpy()) * np.float32(3)
    assert (changed.loc[future, "known_at"].dropna() > beat(DAYS + 1).replace(hour=0)).all()
    return changed


def test_answers_do_not_know_the_future(lived: Lived, poisoned: Lived) -> None:
    """Live and shadow scores of twelve days, bit by bit."""
    days = asked(DAYS)["flight"]
    for view in ("predictions", "shadow"):
        columns = f"SELECT key, version, score, prediction, timestamp FROM {view} ORDER BY key, version"
        there = lived.lake(columns)
        expected = there[there["key"].isin(days)].reset_index(drop=True)
        assert len(expected) > 300
        pd.testing.assert_frame_equal(poisoned.lake(columns), expected, check_exact=True)


def test_models_do_not_know_the_future(lived: Lived, poisoned: Lived) -> None:
    """The same rows, in the same order, made the same files."""

    def made(demo: Lived) -> list[tuple[Any, ...]]:
        return [
            (item.number, item.label, item.digest, item.lineage.data_digest, item.lineage.data_rows)
            for item in versions(demo.database(), MODEL)
        ]

    assert len(made(lived)) == 2
    assert made(poisoned) == made(lived)


def test_decisions_do_not_know_the_future(lived: Lived, poisoned: Lived) -> None:
    """Gate, rollout, drift and schedule: verdicts, reasons and every number behind them, but for what was timed."""
    until = stamp(beat(DAYS))
    mine, theirs = decided(poisoned, until), decided(lived, until)
    assert {kind for _, kind, *_ in mine} >= {"gate", "rollout", "retrain", "drift"}
    assert mine == theirs


def decided(demo: Lived, until: str) -> list[tuple[Any, ...]]:
    """Decisions up to a time, without run ids and measured latencies."""
    rows = demo.rows(
        "SELECT at, kind, subject, verdict, reason, evidence FROM decision WHERE at <= ? ORDER BY at, kind, subject",
        until,
    )
    return [(*row[:5], untimed(json.loads(row[5]))) for row in rows]


def untimed(evidence: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in evidence.items() if name != "run"}
    if "results" in kept:
        kept["results"] = [item for item in kept["results"] if not item["rule"].startswith("p99_ms")]
    return kept


def test_the_recipe_does_not_depend_on_where_it_lies(lived: Lived, poisoned: Lived) -> None:
    """Two homes, one recipe: what is the same recipe on newer data is called a refresh in both."""
    recipes = [item.lineage.recipe_digest for demo in (lived, poisoned) for item in versions(demo.database(), MODEL)]
    assert len(set(recipes)) == 1

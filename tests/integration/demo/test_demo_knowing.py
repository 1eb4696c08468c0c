"""Nobody in the demo is told anything before it is known: the project's `collect`, and the outcomes that are posted."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from flyball.demo.data import CATEGORIES, FEATURES
from flyball.demo.year import Server, World, beat_of, post_last_outcomes, post_outcomes, second_beat_of
from flyball.pipeline.step import Window

DAY = datetime(2013, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL = SimpleNamespace(model="flight-delay")


def flights(known_after_h: list[float | None]) -> pd.DataFrame:
    """Flights scheduled at noon of 1 March, known so many hours after its midnight; None: they never arrived."""
    known = [None if hours is None else DAY + hours * HOUR for hours in known_after_h]
    delays = [None if hours is None else 20.0 * (number % 2) for number, hours in enumerate(known_after_h)]
    return pd.DataFrame(
        {
            "flight": [f"f{number}" for number in range(len(known))],
            "timestamp": pd.Series([DAY + 12 * HOUR] * len(known)).astype("datetime64[us, UTC]"),
            "known_at": pd.to_datetime(pd.Series(known), utc=True).astype("datetime64[us, UTC]"),
            "arr_delay": pd.Series(delays, dtype="float32"),
            "late": [None if delay is None else float(delay > 15) for delay in delays],
        }
    )


@dataclass
class Posted:
    """Stands for the server: keeps what was posted to it."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def outcomes(self, model: str, rows: list[dict[str, Any]], *, idempotency_key: str) -> int:
        self.rows += rows
        self.keys.append(idempotency_key)
        return len(rows)


@pytest.fixture
def collect(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """The demo project's own step, beside a file of our flights."""
    source = (resources.files("flyball.demo") / "project" / "pipeline.py").read_text()
    (tmp_path / "pipeline.py").write_text(source)
    spec = importlib.util.spec_from_file_location("demo_pipeline", tmp_path / "pipeline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def collected(known_after_h: list[float | None], end: datetime) -> pd.DataFrame:
        features = dict.fromkeys(FEATURES, 0.0) | dict.fromkeys(CATEGORIES, "X")
        flights(known_after_h).assign(**features).to_parquet(tmp_path / "flights.parquet", index=False)
        rows: pd.DataFrame = module.collect(Window(start=None, end=end), {"flights": "flights.parquet"})
        return rows

    return collected


def hours(rows: pd.DataFrame) -> list[float]:
    """When each was known, in hours after the midnight of 1 March."""
    found: list[float] = ((rows["known_at"] - DAY) / HOUR).round(3).tolist()
    return found


@pytest.mark.parametrize(("end_h", "expected"), [(13, []), (14, [14]), (15, [14]), (40, [14, 15.001, 39])])
def test_collect_gives_what_was_known_when_the_window_ended(
    collect: Callable[..., pd.DataFrame], end_h: float, expected: list[float]
) -> None:
    """A landing at the very end counts; one a moment later, or never, does not."""
    rows = collect([14, 15.001, None, 39], DAY + end_h * HOUR)
    assert hours(rows) == expected


def test_a_window_in_another_zone_ends_at_the_same_moment(collect: Callable[..., pd.DataFrame]) -> None:
    """The beat is at four in New York; the file is in UTC."""
    end = pd.Timestamp("2013-03-01 09:00", tz="America/New_York").to_pydatetime()
    assert hours(collect([14, 14.001], end)) == [14]


def world(known_after_h: list[float | None], days: int = 1) -> World:
    return World(flights=flights(known_after_h), days=tuple(DAY + timedelta(days=number) for number in range(days)))


def server(posted: Posted) -> Server:
    return Server(clients=(), outcomes=posted, threads=ThreadPoolExecutor(1))


def test_no_outcome_is_posted_before_it_is_known() -> None:
    """Between two beats: after the one, up to and with the other; never what nobody knows yet, nor what never came true."""
    posted = Posted()
    since, until = DAY + 14 * HOUR, DAY + 28 * HOUR
    count = post_outcomes(MODEL, server(posted), world([14, 14.001, 28, 28.001, None]), since=since, until=until)
    assert count == 2
    assert [(row["key"], row["value"]) for row in posted.rows] == [("f1", 1), ("f2", 0)]
    assert all(since < row["timestamp"] <= until for row in posted.rows)


def test_every_outcome_is_posted_once_over_all_beats() -> None:
    """Beat after beat, and once more at the end for those still in the air; the same beat has the same key."""
    posted = Posted()
    lived = world([13, 27, 28, 28.5, 52, 53, 90, None], days=2)
    data_plane = server(posted)
    beats = [beat(day) for day in lived.days for beat in (beat_of, second_beat_of)]
    for since, until in pairwise([beats[0] - timedelta(days=1), *beats]):
        post_outcomes(MODEL, data_plane, lived, since=since, until=until)
    assert [row["key"] for row in posted.rows] == ["f0", "f1", "f2", "f3"]
    post_last_outcomes(MODEL, data_plane, lived)
    assert [row["key"] for row in posted.rows] == ["f0", "f1", "f2", "f3", "f4", "f5"]
    assert posted.keys == ["outcomes-2013030204", "outcomes-2013030212", "outcomes-2013030412"]


def test_flights_nobody_asked_about_have_no_outcome() -> None:
    """January's landings train the first version; they were never predicted."""
    posted = Posted()
    lived = World(flights=flights([13]), days=(DAY + timedelta(days=1),))
    assert post_outcomes(MODEL, server(posted), lived, since=DAY, until=DAY + 48 * HOUR) == 0
    assert posted.rows == []

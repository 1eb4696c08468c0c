"""Labels as they come in life, over a real lake: late, by id and key, doubled, corrected, withdrawn; predictions late too."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyball.journal.carry import carry
from flyball.journal.line import encode_outcomes, encode_predictions
from flyball.journal.segment import Segment
from flyball.loop.alerts import alerts
from flyball.loop.performing import backfill, keep_performance
from flyball.project.load import load_project
from flyball.project.records import Project
from flyball.registry import live
from flyball.registry.decisions import decisions
from flyball.registry.records import Deployment
from flyball.stats.intervals import estimate
from flyball.stats.names import METRIC_NAMES
from flyball.store import Database, Home, moment, open_database, stamp
from flyball.store.outbox import pending

START = datetime(2013, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DELAY = timedelta(days=7)

SETTINGS = """
[model]
name = "m"
task = "binary"
target = "y"
adopted = true

[monitor]
label_delay = "7d"
slices = ["origin"]

[retrain]

[outcomes.spent]
kind = "number"
window = "2d"
missing = "0"
"""


class World:
    """A home in which one model answers since START."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home").made()
        self.database: Database = open_database(self.home)
        (folder / "flyball.toml").write_text(SETTINGS)
        self.project: Project = load_project(folder)
        self.told = 0
        self.segment = Segment(self.home.journal, "test")
        with self.database.write() as tx:
            deployment = Deployment(
                model="m", generation=0, live=1, bundles={1: ("b", "d")}, shadow=(), columns={}, at=START
            )
            live.deploy(tx, deployment, replaces=None, who="t", why="t")

    def predict(self, rows: list[dict[str, Any]], *, received_at: datetime) -> None:
        for row in rows:
            self.append(
                encode_predictions(
                    model="m",
                    version=1,
                    variant="live",
                    role="live",
                    source="http",
                    generation=1,
                    request_id="r",
                    ids=[row["id"]],
                    timestamp=stamp(row["at"]),
                    received_at=stamp(received_at),
                    latency_ms=1.0,
                    key=[row["id"]],
                    features={"origin": [row["origin"]]},
                    prediction=[row["score"]],
                    score=[row["score"]],
                )
            )

    def tell(self, value: float | None, *, received_at: datetime, name: str = "label", **whose: str) -> None:
        self.told += 1
        outcome = {
            "outcome_id": f"o{self.told}",
            "name": name,
            "value": value,
            "timestamp": stamp(received_at),
            **whose,
        }
        self.append(encode_outcomes(model="m", received_at=stamp(received_at), outcomes=[outcome]))

    def append(self, line: bytes) -> None:
        assert self.segment.append(line)

    def beat(self, now: datetime) -> None:
        carry(self.home, self.database, now=now)
        keep_performance(self.home, self.database, self.project, now=now)

    def figures(self, **where: Any) -> dict[Any, Any]:
        """(date, slice, metric) -> (value, low, high, rows) of a basis."""
        rows = self.database.all("SELECT * FROM metrics_daily WHERE basis = :basis", **where)
        return {
            (row["date"], row["slice"], row["metric"]): (row["value"], row["low"], row["high"], row["rows"])
            for row in rows
        }

    def window(self, day: datetime) -> Any:
        return self.database.one("SELECT * FROM \"window\" WHERE kind = 'performance' AND start = :at", at=stamp(day))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.segment.close()
    made.database.close()


def a_day(day: datetime, random: np.random.Generator, count: int = 80) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{day:%m%d}-{number:03}",
            "at": day + DAY * (number / count),
            "score": float(np.round(random.random(), 6)),
            "origin": ["JFK", "LGA"][number % 2],
        }
        for number in range(count)
    ]


def offline(rows: list[dict[str, Any]], last: dict[str, float | None]) -> dict[Any, Any]:
    """The daily figures from the rows and each one's last outcome, without lake, windows or order of arrival."""
    found = {}
    for day in sorted({f"{row['at']:%Y-%m-%d}" for row in rows}):
        for part in ("", "origin=JFK", "origin=LGA"):
            mine = [
                row
                for row in sorted(rows, key=lambda row: (row["at"], row["id"]))
                if f"{row['at']:%Y-%m-%d}" == day
                and part in ("", f"origin={row['origin']}")
                and last.get(row["id"]) is not None
            ]
            if len(mine) < 50:
                continue
            y, score = [last[row["id"]] for row in mine], [row["score"] for row in mine]
            for metric in METRIC_NAMES["binary"]:
                item = estimate(metric, "binary", y, score, confidence=0.95)
                found[day, part, metric] = (item.value, item.low, item.high, item.rows)
    return found


@pytest.mark.slow
def test_after_random_delays_the_figures_are_those_of_an_offline_recomputation(world: World) -> None:
    """Up to 30 days late, doubled, corrected, withdrawn, by id or key, some predictions two days late; exactly equal."""
    random = np.random.default_rng(11)
    rows = [row for number in range(3) for row in a_day(START + number * DAY, random)]
    coming: list[tuple[datetime, int, Any]] = []
    for number, row in enumerate(rows):
        late = 2 * DAY if number % 17 == 0 else timedelta(0)
        heapq.heappush(coming, (row["at"] + late, number, ("predict", row)))
        for turn in range(1 + int(random.integers(3))):
            at = row["at"] + timedelta(seconds=float(random.uniform(1, 30 * 86_400)))
            value = [0.0, 1.0, 1.0, 0.0, None][int(random.integers(5))] if turn else float(random.integers(2))
            heapq.heappush(coming, (at, 10_000 * (turn + 1) + number, ("tell", row, value)))
    last: dict[str, float | None] = {}
    now = START
    while coming:
        now += 7 * DAY
        while coming and coming[0][0] <= now:
            at, _, (what, row, *rest) = heapq.heappop(coming)
            if what == "predict":
                world.predict([row], received_at=at)
            else:
                last[row["id"]] = rest[0]
                whose = {"key": row["id"]} if row["id"].endswith("5") else {"id": row["id"]}
                for _ in range(2 if row["id"].endswith("7") else 1):
                    world.tell(rest[0], received_at=at, **whose)
        world.beat(now)
        for item in decisions(world.database, "m", kind="performance"):
            assert item.evidence["mature"] is True
            assert moment(f"{item.subject}T00:00:00Z") + DAY + DELAY <= item.at
    world.beat(now + DAY)
    assert world.figures(basis="label") == offline(rows, last)
    assert all(world.window(START + number * DAY)["mature"] for number in range(3))
    before = world.figures(basis="label")
    backfill(world.home, world.database, world.project, since=None, now=now + 2 * DAY)
    assert world.figures(basis="label") == before


def test_an_immature_window_is_shown_and_does_not_alarm(tmp_path: Path) -> None:
    """Answers that are all wrong: shown as they come in, alarmed once labels had their seven days."""
    (tmp_path / "w").mkdir()
    world = World(tmp_path / "w")
    toml = tmp_path / "w" / "flyball.toml"
    toml.write_text(
        toml.read_text()
        .replace("adopted = true\n", "")
        .replace("[retrain]", '[retrain]\nperformance = "accuracy < 0.7"')
    )
    (tmp_path / "w" / "pipeline.py").write_text(
        "from flyball import step\n\n\n@step\ndef train(window):\n    return window\n"
    )
    world.project = load_project(tmp_path / "w")
    rows = a_day(START, np.random.default_rng(1))
    world.predict(rows, received_at=START)
    for row in rows:
        world.tell(float(row["score"] < 0.5), received_at=row["at"] + timedelta(hours=1), id=row["id"])
    world.beat(START + DAY + timedelta(hours=6))
    window = world.window(START)
    assert (window["verdict"], window["mature"], window["due_at"]) == ("immature", 0, stamp(START + 3 * DAY))
    assert world.figures(basis="label")["2013-03-01", "", "accuracy"][0] == 0
    world.beat(START + 7 * DAY)
    assert (alerts(world.database), decisions(world.database, "m", kind="performance")) == ([], [])
    world.beat(START + 8 * DAY)
    assert world.window(START)["verdict"] == "below"
    assert [item.name for item in alerts(world.database, open_only=True)] == ["performance"]
    # The course of the primary metric goes with it: one day, all its rows.
    (event,) = [item for item in pending(world.database) if item.kind == "alert"]
    auc = world.figures(basis="label")["2013-03-01", "", "auc"][0]
    assert event.payload["context"]["recent"] == {"metric": "auc", "values": [auc]}
    world.segment.close()
    world.database.close()


def test_a_late_prediction_reopens_its_window_and_is_marked(world: World) -> None:
    """Sixty rows, then twenty more a day after the window closed."""
    rows = a_day(START, np.random.default_rng(2))
    world.predict(rows[:60], received_at=START)
    world.beat(START + DAY)
    world.predict(rows[60:], received_at=START + 2 * DAY)
    world.beat(START + 2 * DAY)
    window = world.window(START)
    assert window["rows"] == 80
    assert '"reopened":{"rows_first":60,"rows_now":80}' in window["evidence"]


def test_silence_means_nothing_spent_once_the_outcomes_window_is_over(world: World) -> None:
    """10 on three of 80 rows, one of them told twice, one told after its two days: mean 20 / 80, and 0 before is unknown."""
    rows = a_day(START, np.random.default_rng(3))
    world.predict(rows, received_at=START)
    for row, hours in ((rows[0], 1), (rows[1], 2), (rows[1], 3), (rows[2], 49)):
        world.tell(10.0, name="spent", received_at=row["at"] + timedelta(hours=hours), id=row["id"])
    world.beat(START + DAY)
    assert world.figures(basis="outcome")["2013-03-01", "", "spent.count"][0] == 2
    world.beat(START + 4 * DAY)
    found = world.figures(basis="outcome")
    assert found["2013-03-01", "", "spent.mean"][0] == 0.25
    assert (found["2013-03-01", "", "spent.sum"][0], found["2013-03-01", "", "spent.count"][0]) == (20, 80)


@pytest.mark.slow
def test_what_is_too_late_is_told_and_counted_by_a_backfill(world: World) -> None:
    """Beyond 7 + 30 + 1 days a window is not judged again by itself."""
    rows = a_day(START, np.random.default_rng(4))
    world.predict(rows, received_at=START)
    world.beat(START + DAY)
    world.beat(START + 9 * DAY)
    for row in rows:
        world.tell(1.0, received_at=START + 60 * DAY, id=row["id"])
    world.beat(START + 60 * DAY)
    (told,) = [item for item in decisions(world.database, "m") if item.verdict == "too_late"]
    assert told.reason.startswith("80 outcomes are of predictions before 2013-03-23")
    assert world.figures(basis="label") == {}
    backfill(world.home, world.database, world.project, since=START, now=START + 60 * DAY)
    assert world.figures(basis="label")["2013-03-01", "", "accuracy"][3] == 80

"""Which windows news may change: never too few of them, whichever of the lake's files are opened to find out."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flyball.journal import lake, news
from tests.integration.journal.conftest import DAY, hour

if TYPE_CHECKING:
    from flyball.store import Home

END = DAY + timedelta(days=12)
NEAR = DAY + timedelta(days=9)


def touched(journal: Any, before: set[str], near: datetime = NEAR) -> tuple[list[float], bool]:
    """Hours of the predictions that may have changed since `before`."""
    times, strangers = news.touched(journal.home, "flights", journal.files() - before, DAY, END, near=near)
    return [(at - DAY) / timedelta(hours=1) for at in times], strangers


def known(home: Home) -> dict[str, tuple[float, float | None]]:
    """Prediction -> its hour and label."""
    rows = lake.scored(home, "flights", DAY, END).to_pylist()
    return {row["id"]: ((row["timestamp"] - DAY) / timedelta(hours=1), row["label"]) for row in rows}


@pytest.mark.parametrize(
    ("news", "hours"),
    [
        ({"id": "new", "value": 1, "timestamp": hour(241)}, [240.0]),
        ({"id": "old", "value": 1, "timestamp": hour(241)}, [10.0]),
        ({"key": "n", "value": 1, "timestamp": hour(241)}, [240.0]),
        ({"key": "o", "value": 1, "timestamp": hour(241)}, [10.0]),
        ({"key": "o", "value": 1}, [10.0]),
    ],
    ids=["near by id", "far by id", "near by key", "far by key", "far by key without a time"],
)
def test_an_outcome_touches_the_prediction_it_belongs_to(
    journal: Any, news: dict[str, Any], hours: list[float]
) -> None:
    """Asked lately or long ago."""
    journal.predict("old", at=hour(10), key=["o"])
    journal.predict("new", at=hour(240), key=["n"])
    journal.carry()
    before = journal.files()
    journal.tell(news, received_at=hour(241))
    journal.carry()
    assert touched(journal, before) == (hours, False)


def test_an_outcome_of_a_prediction_from_before_is_told(journal: Any) -> None:
    """It is no window's that is looked at."""
    journal.predict("a", at=hour(-30))
    journal.predict("b", at=hour(240))
    journal.carry()
    before = journal.files()
    journal.tell({"id": "a", "value": 1, "timestamp": hour(241)}, received_at=hour(241))
    journal.carry()
    assert touched(journal, before) == ([], True)


def test_a_new_prediction_takes_the_outcome_without_a_time_from_its_keys_last_one(journal: Any) -> None:
    """Both are touched, though the outcome is no news and lies in a file of long ago."""
    journal.predict("first", at=hour(10), key=["k"])
    journal.tell({"key": "k", "value": 1}, received_at=hour(12))
    journal.carry()
    before = journal.files()
    journal.predict("second", at=hour(240), key=["k"])
    journal.carry()
    assert touched(journal, before) == ([10.0, 240.0], False)
    assert known(journal.home) == {"first": (10.0, None), "second": (240.0, 1.0)}


@pytest.mark.parametrize("seed", range(25))
def test_whatever_changes_is_touched(journal: Any, seed: int) -> None:
    """Random lives of few keys, carried in three parts: no row whose label changed, or that is new, is missed."""
    chance, made, seen = random.Random(seed), [], journal.files()
    before: dict[str, tuple[float, float | None]] = {}
    for part in range(3):
        for _ in range(6):
            at = chance.uniform(0, 280)
            made.append(f"p{len(made)}")
            journal.predict(made[-1], at=hour(at), key=[chance.choice("abc")] if chance.random() < 0.8 else None)
        for _ in range(6):
            at = chance.uniform(0, 287)
            whose = {"id": chance.choice(made)} if chance.random() < 0.4 else {"key": chance.choice("abc")}
            timed = {"timestamp": hour(at)} if chance.random() < 0.7 else {}
            journal.tell({**whose, "value": chance.choice((0, 1, None)), **timed}, received_at=hour(at))
        journal.carry()
        after = known(journal.home)
        changed = {at for id_, (at, label) in after.items() if before.get(id_) != (at, label)}
        # By the minute.
        found = {round(at * 60) for at in touched(journal, seen)[0]}
        assert {int(at * 60 + 1e-9) for at in changed} <= found, f"part {part}"
        before, seen = after, journal.files()

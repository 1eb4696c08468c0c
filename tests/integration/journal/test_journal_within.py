"""Whether news is about what was read already: never said where a label elsewhere has changed."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flyball.journal import lake
from flyball.journal.within import MOST_BYTES, within
from tests.integration.journal.conftest import DAY, hour

if TYPE_CHECKING:
    from flyball.store import Home

NEAR = DAY + timedelta(days=9)
END = DAY + timedelta(days=11)


def said(journal: Any, before: set[str], most_bytes: int = MOST_BYTES) -> bool:
    """Of the news since `before`, when the two days before END were read."""
    asked = lake.scored(journal.home, "flights", NEAR, END, features=False).select(["id", "key", "timestamp"])
    return within(journal.home, "flights", journal.files() - before, asked, DAY, END, most_bytes=most_bytes)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([{"id": "read", "value": 1}, {"key": "r", "value": 1, "timestamp": hour(241)}], True),
        ([{"id": "open", "value": 1}, {"key": "w", "value": 1, "timestamp": hour(266)}], True),
        ([{"key": "r", "value": 1}], True),
        ([{"id": "read", "value": 1}, {"id": "old", "value": 1}], False),
        ([{"key": "o", "value": 1, "timestamp": hour(241)}], False),
        ([{"key": "r", "value": 1, "timestamp": hour(239)}], False),
        ([{"key": "nobody's", "value": 1, "timestamp": hour(241)}], False),
    ],
    ids=["by id and key", "of what is open", "no time", "an older id", "an older key", "before its key", "a stranger"],
)
def test_outcomes_are_looked_for_among_what_was_read(
    journal: Any, told: list[dict[str, Any]], *, expected: bool
) -> None:
    """Predictions at hours 10, 240 and 265; read is from hour 216 to 264, and the last is of a window that is open."""
    journal.predict("old", at=hour(10), key=["o"])
    journal.carry()
    before = journal.files()
    journal.predict("read", at=hour(240), key=["r"])
    journal.predict("open", at=hour(265), key=["w"])
    journal.tell(*told, received_at=hour(267))
    journal.carry()
    assert said(journal, before) is expected


def test_a_prediction_that_takes_an_outcome_from_an_older_one_is_no_news_of_its_own_alone(journal: Any) -> None:
    """The outcome is no news, has no time, and lies in a file of long ago."""
    journal.predict("first", at=hour(10), key=["k"])
    journal.tell({"key": "k", "value": 1}, received_at=hour(12))
    journal.carry()
    before = journal.files()
    journal.predict("second", at=hour(240), key=["k"])
    journal.carry()
    assert said(journal, before) is False


def test_large_files_are_not_looked_into(journal: Any) -> None:
    """Memory is bounded: it is not said then, and asked for elsewhere."""
    before = journal.files()
    journal.predict("read", at=hour(240))
    journal.carry()
    assert said(journal, before) is True
    assert said(journal, before, most_bytes=100) is False


def test_a_prediction_of_a_closed_window_that_was_not_read_is_news_of_another(journal: Any) -> None:
    """It came late."""
    before = journal.files()
    journal.predict("late", at=hour(10))
    journal.carry()
    assert said(journal, before) is False


@pytest.mark.parametrize("seed", range(40))
def test_where_it_is_said_nothing_else_has_changed(journal: Any, seed: int) -> None:
    """Random lives of few keys, the last part mostly of its own: every label that changed is of a row that was read."""
    chance, made = random.Random(seed), []
    for since, keys, tales in ((0.0, "abcdef", 3), (0.0, "abcdef", 3), (216.0, "uvwf", 1)):
        before, known = journal.files(), labels(journal.home)
        for _ in range(4):
            at = chance.uniform(since, 280)
            made.append(f"p{len(made)}")
            journal.predict(made[-1], at=hour(at), key=[chance.choice(keys)] if chance.random() < 0.8 else None)
        for _ in range(tales):
            at = chance.uniform(since, 287)
            whose = {"key": chance.choice(keys)} if chance.random() < 0.5 else {"id": chance.choice(made[-5:])}
            timed = {"timestamp": hour(at)} if chance.random() < 0.8 else {}
            journal.tell({**whose, "value": chance.choice((0, 1, None)), **timed}, received_at=hour(at))
        journal.carry()
    changed = {at for id_, (at, label) in labels(journal.home).items() if known.get(id_) != (at, label)}
    if said(journal, before):
        assert all(at >= NEAR for at in changed)


def labels(home: Home) -> dict[str, tuple[datetime, float | None]]:
    """Prediction of a closed window -> when, and its label."""
    rows = lake.scored(home, "flights", DAY, END).to_pylist()
    return {row["id"]: (row["timestamp"], row["label"]) for row in rows}

"""What a model was trained on, and which rows are new to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flyball.loop.trained import data_digest, keep, seen, trained_on, unseen_by
from flyball.pipeline.handed import TRAINED
from flyball.pipeline.split import split
from flyball.pipeline.step import ModelNames, RunContext, Window

END = datetime(2013, 3, 11, tzinfo=UTC)
NAMES = ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary")
TIMED = replace(NAMES, timestamp="at")


def context(path: Path, names: ModelNames = NAMES) -> RunContext:
    folder = path / "train" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    return RunContext(
        id="r",
        path=path,
        folder=folder,
        model=names,
        refit=False,
        now=END,
        window=Window(start=None, end=END),
        params={},
        seed=7,
    )


def rows(count: int = 200, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {"x": random.normal(size=count), "z": random.normal(size=count), "y": random.integers(0, 2, count)}
    )


def timed(count: int = 200) -> pd.DataFrame:
    return rows(count).assign(at=pd.to_datetime([END - timedelta(hours=count - n) for n in range(count)], utc=True))


def test_what_split_handed_out_is_what_was_trained_on(tmp_path: Path) -> None:
    """Rows, digest and digests are those of the training part; none of the held-out rows is among them."""
    run, table = context(tmp_path), rows()
    training, held_out = split(table, run, share=0.2)
    found = trained_on(table, held_out, run, "train")
    assert found.rows.equals(training)
    assert (found.count, found.digest) == (len(training), data_digest(training))
    assert seen(found, held_out) == {"seen": 0, "rows": len(held_out), "repeated": 0.0}


@pytest.mark.parametrize("names", [NAMES, TIMED])
def test_a_step_that_does_not_split_may_have_seen_all_of_its_table(tmp_path: Path, names: ModelNames) -> None:
    """With times as without: all held-out rows stand in what it was given."""
    run, table = context(tmp_path, names), timed() if names.timestamp else rows()
    held_out = table.tail(40)
    found = trained_on(table, held_out, run, "train")
    assert (found.count, found.digest) == (200, data_digest(table))
    assert seen(found, held_out) == {"seen": 40, "rows": 40, "repeated": 0.0}
    assert found.end == (END - timedelta(hours=1) + timedelta(microseconds=1) if names.timestamp else None)


def test_a_table_without_the_held_out_rows_needs_no_split(tmp_path: Path) -> None:
    """Another step took them out: what is left ends where they begin."""
    run, table = context(tmp_path, TIMED), timed()
    found = trained_on(table.head(160), table.tail(40), run, "train")
    assert seen(found, table.tail(40))["seen"] == 0
    assert (found.count, found.end) == (160, END - timedelta(hours=40))


def test_rows_of_a_table_that_only_the_step_knows_are_told_by_their_digests(tmp_path: Path) -> None:
    """Split after a row was dropped and a column added: as many as were handed out, and which of them are held out."""
    run, table = context(tmp_path, replace(NAMES, features=("x", "z"))), rows()
    made = table.drop(index=3).assign(extra=1)
    training, _ = split(made, run, share=0.2)
    held_out = training[["x", "z", "y"]].head(30)
    found = trained_on(table, held_out, run, "train")
    assert (found.count, found.digest) == (len(training), data_digest(training))
    assert seen(found, held_out) == {"seen": 30, "rows": 30, "repeated": 0.0}
    assert len(found.rows) == 170


def test_what_cannot_be_told_says_why(tmp_path: Path) -> None:
    """The step split a table of row numbers; or the held-out table lacks a column."""
    run, table = context(tmp_path, replace(NAMES, features=("x", "z"))), rows()
    split(table[["y"]].assign(n=range(200)), run, share=0.2)
    found = trained_on(table, table.tail(40), run, "train")
    assert seen(found, table.tail(40)) == {"untold": "the table that split() was given lacks a feature"}
    given = trained_on(table, table.tail(40), run, None)
    assert seen(given, table[["x", "y"]]) == {"untold": "the held-out table lacks z, which training had"}


def test_rows_that_a_champion_was_trained_on_are_not_new_to_it(tmp_path: Path) -> None:
    """By their digests: of ten old rows and ninety new ones ninety."""
    run, table = context(tmp_path), rows()
    keep(trained_on(table, table.head(0), run, None), tmp_path)
    asked = pd.concat([table.head(10), rows(90, seed=1)])
    fresh, told = unseen_by(asked, NAMES, None, str(tmp_path / TRAINED))
    assert told
    assert fresh.tolist() == [False] * 10 + [True] * 90


def test_a_row_is_new_by_its_time_or_by_its_content(tmp_path: Path) -> None:
    """Newer than all training: new. Older, as its outcome came late: new if it was not there."""
    run, table = context(tmp_path, TIMED), timed()
    keep(trained_on(table.head(100).drop(index=50), table.head(0), run, None), tmp_path)
    end = (END - timedelta(hours=100)).isoformat()
    fresh, told = unseen_by(table, TIMED, end, str(tmp_path / TRAINED))
    assert told
    assert fresh.tolist() == [n == 50 or n >= 100 for n in range(200)]
    by_time, told = unseen_by(table, TIMED, end, None)
    assert (told, by_time.tolist()) == (True, [n >= 100 for n in range(200)])


def test_rows_of_few_distinct_values_are_not_taken_for_known(tmp_path: Path) -> None:
    """Each stands in every table by itself: that all of them were there says nothing."""
    run, table = context(tmp_path), pd.DataFrame({"x": [0, 1] * 100, "y": [0, 0, 1, 1] * 50})
    keep(trained_on(table, table.head(0), run, None), tmp_path)
    fresh, told = unseen_by(table.head(50), NAMES, None, str(tmp_path / TRAINED))
    assert (told, fresh.all()) == (True, True)


def test_what_an_older_version_saw_cannot_be_told(tmp_path: Path) -> None:
    """No file, no time; or another recipe's columns, which the table lacks. All rows are left in."""
    run, table = context(tmp_path), rows()
    keep(trained_on(table.assign(w=1), table.head(0), run, None), tmp_path)
    for kept in (None, str(tmp_path / "nothing.npz"), str(tmp_path / TRAINED)):
        fresh, told = unseen_by(table, NAMES, None, kept)
        assert (told, bool(fresh.all())) == (False, True)

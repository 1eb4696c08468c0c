"""What a step was handed for training, as it is noted in its folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flyball.pipeline.handed import handed, learnt_digests, whole_digests
from flyball.pipeline.split import split
from flyball.pipeline.step import RunContext
from tests.unit.pipeline.test_pipeline_split import END, NAMES, RUN


def attempt(path: Path, number: int = 1) -> RunContext:
    """The context of the step `train` in a run's folder."""
    folder = path / "train" / str(number)
    folder.mkdir(parents=True)
    return replace(RUN, path=path, folder=folder)


def flights(count: int) -> pd.DataFrame:
    at = pd.to_datetime([END - timedelta(days=count - n) for n in range(count)], utc=True)
    return pd.DataFrame({"at": at, "x": np.arange(count) / 7, "y": np.arange(count) % 2})


@pytest.mark.parametrize("arrow", [False, True])
def test_the_note_tells_the_training_rows_in_their_order(tmp_path: Path, arrow: bool) -> None:
    """All columns as they are, what is learnt from without the time, and the first and last time."""
    table = flights(10)
    split(pa.Table.from_pandas(table) if arrow else table, attempt(tmp_path), newest="3d")
    note = handed(tmp_path, "train")
    assert note is not None
    assert note.columns == ("at", "x", "y")
    assert note.whole.tolist() == whole_digests(table.head(7)).tolist()
    assert note.learnt_columns == ("x", "y")
    assert note.learnt is not None
    assert note.learnt.tolist() == learnt_digests(table.head(7), ("x", "y")).tolist()
    assert note.moments() == (END - timedelta(days=10), END - timedelta(days=4))


def test_a_step_that_never_splits_leaves_no_note(tmp_path: Path) -> None:
    """Nor does a split in a test or in a notebook, where the folder is the run's own."""
    attempt(tmp_path)
    assert handed(tmp_path, "train") is None
    assert handed(tmp_path, "another") is None
    split(flights(10), replace(RUN, path=tmp_path, folder=tmp_path), newest="3d")
    assert list(tmp_path.rglob("*.npz")) == []


def test_the_newest_attempt_is_asked(tmp_path: Path) -> None:
    """The tenth, not the ninth, whatever their names' order; what a failed one was handed is of no model."""
    for number, count in ((9, 8), (10, 20)):
        split(flights(count), attempt(tmp_path, number), newest="3d")
    note = handed(tmp_path, "train")
    assert note is not None
    assert len(note.whole) == 17


def test_training_rows_that_are_split_once_more_are_the_same_rows(tmp_path: Path) -> None:
    """Part of them held back to stop early: the model knows them all the same. Held-out rows asked for are added."""
    run, table = attempt(tmp_path), flights(20)
    train, held_out = split(table, run, newest="5d")
    split(train, run, share=0.5)
    note = handed(tmp_path, "train")
    assert note is not None
    assert len(note.whole) == 15
    more, _ = split(held_out, run, newest="2d")
    note = handed(tmp_path, "train")
    assert note is not None
    assert len(note.whole) == 15 + len(more) == 18
    assert note.moments()[1] == datetime(2013, 3, 8, tzinfo=UTC)


def test_a_table_without_a_feature_says_nothing_of_what_is_learnt(tmp_path: Path) -> None:
    """Declared features: the table of keys alone tells how many rows, not which."""
    run = attempt(tmp_path)
    run = replace(run, model=replace(NAMES, features=("x", "z")))
    split(flights(10), run, newest="3d")
    note = handed(tmp_path, "train")
    assert note is not None
    assert (note.learnt, note.learnt_columns, len(note.whole)) == (None, None, 7)


def test_a_number_is_the_same_one_whatever_type_holds_it() -> None:
    """Integers, floats, nullable numbers, minus zero; another number, and nothing at all, are others."""
    kinds = [pd.Series([0, 1, 2], dtype=kind) for kind in ("int8", "int64", "float64", "Int64", "float32")]
    kinds.append(pd.Series([-0.0, 1.0, 2.0]))
    found = {tuple(learnt_digests(pd.DataFrame({"x": item}), ("x",)).tolist()) for item in kinds}
    assert len(found) == 1
    missing = learnt_digests(pd.DataFrame({"x": pd.Series([0, None, 2], dtype="Int64")}), ("x",)).tolist()
    assert [one == other for one, other in zip(missing, found.pop(), strict=True)] == [True, False, True]

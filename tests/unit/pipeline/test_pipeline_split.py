"""Which rows are held out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flyball.errors import Mistake
from flyball.pipeline.split import split
from flyball.pipeline.step import ModelNames, RunContext, Window

END = datetime(2013, 3, 11, tzinfo=UTC)
NAMES = ModelNames(target="y", features=None, key=None, timestamp="at", positive=None, task="binary")
RUN = RunContext(
    id="r",
    path=Path("/r"),
    folder=Path("/r"),
    model=NAMES,
    refit=False,
    now=END,
    window=Window(start=None, end=END),
    params={},
    seed=7,
)
KEYED = replace(RUN, model=replace(NAMES, key="tail"))


def days(count: int) -> pd.DataFrame:
    """One row at the midnight of each of the `count` days before END, oldest first."""
    at = [END - timedelta(days=count - n) for n in range(count)]
    return pd.DataFrame(
        {"n": range(count), "at": pd.to_datetime(at, utc=True), "tail": [f"N{n % 40}" for n in range(count)]}
    )


def test_the_newest_rows_are_held_out_from_the_very_instant() -> None:
    """Ten days, newest 3d: days 7, 8, 9; the row exactly three days before the end is among them."""
    train, held_out = split(days(10), RUN, newest="3d")
    assert list(train["n"]) == [0, 1, 2, 3, 4, 5, 6]
    assert list(held_out["n"]) == [7, 8, 9]


def test_times_in_another_zone_are_the_same_instants() -> None:
    """A zone is a way of writing."""
    table = days(10)
    table["at"] = table["at"].dt.tz_convert("America/New_York")
    assert list(split(table, RUN, newest="3d")[1]["n"]) == [7, 8, 9]


def content(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows without key or time, whose last ten repeat the first ten."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"x": random.normal(size=count), "s": random.choice(["a", "b"], count), "y": 0})
    return pd.concat([table, table.head(10)], ignore_index=True)


KEYLESS = replace(RUN, model=replace(NAMES, timestamp=None))


def test_a_share_without_a_key_is_about_that_share_of_the_rows() -> None:
    """A fifth of 10,000 rows within three standard errors (120), in the table's order; the rest trains."""
    table = content(10_000).assign(n=range(10_010))
    run = replace(KEYLESS, model=replace(KEYLESS.model, features=("x", "s")))
    train, held_out = split(table, run, share=0.2)
    assert abs(len(held_out) - 2_002) < 120
    assert sorted([*train["n"], *held_out["n"]]) == list(range(10_010))
    assert list(held_out["n"]) == sorted(held_out["n"])


def test_rows_without_a_key_stay_on_their_side_when_others_come() -> None:
    """What was held out of the first thousand is held out of a shuffled table thrice as long, and nothing else of them."""
    first, more = content(1_000), content(2_000, seed=1)
    grown = pd.concat([more, first]).sample(frac=1, random_state=2)
    before, after = split(first, KEYLESS, share=0.3)[1], split(grown, KEYLESS, share=0.3)[1]
    assert set(after["x"]) & set(first["x"]) == set(before["x"])


def test_equal_rows_without_a_key_go_together() -> None:
    """In whichever type a column holds its numbers."""
    train, held_out = split(content(1_000), KEYLESS, share=0.5)
    assert set(train["x"]).isdisjoint(held_out["x"])
    whole = content(1_000).assign(x=range(1_010))
    as_floats = split(whole.astype({"x": "float64"}), KEYLESS, share=0.5)[1]
    assert list(split(whole, KEYLESS, share=0.5)[1]["x"]) == list(as_floats["x"])


def test_rows_with_lists_in_them_are_split_too() -> None:
    """What cannot be hashed is hashed as its text."""
    table = pd.DataFrame({"x": [[n] for n in range(200)], "y": 0})
    train, held_out = split(table, KEYLESS, share=0.5)
    assert 60 < len(held_out) < 140
    assert len(train) + len(held_out) == 200


def test_a_share_depends_on_the_seed_alone() -> None:
    """The same seed gives the same rows, another seed others."""
    first, again = split(content(100), KEYLESS, share=0.2)[1], split(content(100), KEYLESS, share=0.2)[1]
    other = split(content(100), replace(KEYLESS, seed=8), share=0.2)[1]
    assert list(first["x"]) == list(again["x"])
    assert list(first["x"]) != list(other["x"])


def test_a_key_is_never_on_both_sides_wherever_its_rows_stand() -> None:
    """With a key the share is of keys, and neither row order nor other rows matter."""
    table = days(400)
    train, held_out = split(table, KEYED, share=0.3)
    assert set(train["tail"]).isdisjoint(held_out["tail"])
    assert 0.1 < len(held_out) / len(table) < 0.5
    shuffled = table.sample(frac=0.5, random_state=1)
    assert set(split(shuffled, KEYED, share=0.3)[1]["tail"]) <= set(held_out["tail"])


@pytest.mark.parametrize("how", [{"newest": "3d"}, {"share": 0.5}])
def test_everything_trains_when_the_run_is_a_refit(how: dict) -> None:
    """The held-out table is empty, with its columns."""
    train, held_out = split(days(10), replace(RUN, refit=True), **how)
    assert list(train["n"]) == list(range(10))
    assert list(held_out.columns) == ["n", "at", "tail"]
    assert len(held_out) == 0


def test_a_pyarrow_table_is_split_into_pyarrow_tables() -> None:
    """What comes in goes out."""
    train, held_out = split(pa.Table.from_pandas(days(10)), RUN, newest="3d")
    assert isinstance(train, pa.Table)
    assert held_out["n"].to_pylist() == [7, 8, 9]


def test_an_empty_table_is_split_into_two() -> None:
    """No rows are no error."""
    train, held_out = split(days(10).iloc[:0], KEYED, share=0.5)
    assert (len(train), len(held_out)) == (0, 0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "split(): give exactly one of newest='7d' and share=0.2"),
        ({"newest": "7d", "share": 0.2}, "split(): give exactly one of newest='7d' and share=0.2"),
        ({"share": 0.0}, "split(share=0.0): needs a number between 0 and 1"),
        ({"share": 1}, "split(share=1): needs a number between 0 and 1"),
        (
            {"newest": "7 days"},
            """split(newest='7 days'): needs a number and a unit (s, m, h, d, w), such as "90s", "36h" or "7d\"""",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(how: dict, message: str) -> None:
    """Each refusal says what is allowed."""
    with pytest.raises(Mistake) as caught:
        split(days(10), RUN, **how)
    assert str(caught.value) == message


def test_a_model_without_a_time_has_no_newest_rows() -> None:
    """The mend is a setting or another split."""
    with pytest.raises(Mistake, match=r"the model has no time; set `\[model\] timestamp`, or give share="):
        split(days(10), replace(RUN, model=replace(NAMES, timestamp=None)), newest="3d")


def test_times_without_a_zone_are_refused_with_the_line_to_write() -> None:
    """Nobody guesses a zone."""
    table = days(10)
    table["at"] = table["at"].dt.tz_localize(None)
    with pytest.raises(
        Mistake, match=r"column 'at' is timestamp\[us\], needs times with a time zone; in pandas: pd\.to"
    ):
        split(table, RUN, newest="3d")


def test_rows_without_a_time_are_refused() -> None:
    """They would belong to neither side."""
    table = days(10)
    table.loc[3, "at"] = pd.NaT
    with pytest.raises(Mistake, match=r"1 rows have no 'at'; drop or fill them first"):
        split(table, RUN, newest="3d")


def test_a_missing_column_is_named_with_those_there_are() -> None:
    """The table comes from the user's own code; say what it holds."""
    with pytest.raises(Mistake, match=r"the table has no column 'at'; it has n, tail"):
        split(days(10).drop(columns="at"), RUN, newest="3d")

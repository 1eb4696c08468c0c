"""Floors of slices: worked cases, and how often they are right on simulated models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from flyball.project.rules import parse_rule
from flyball.registry.slices import OTHERS, Scored, cut, judge_slices

FLOOR = parse_rule("auc >= champion.auc")


def scored(
    random: np.random.Generator, *, slices: int = 20, rows: int = 1_000, worse: int | None = None, champion: bool = True
) -> Scored:
    """Two models whose scores' errors correlate by 0.9; on slice `worse` the candidate sees far less of the truth."""
    n = slices * rows
    y = (random.random(n) < 0.3).astype(np.float64)
    names = np.repeat([f"s{number:02}" for number in range(slices)], rows)
    shared, own, theirs = random.normal(size=(3, n))
    # On one slice 0.79 of the signal: AUC .76 becomes .71.
    signal = np.where(names == f"s{worse:02}" if worse is not None else False, 0.79, 1.0) * y
    candidate = signal + np.sqrt(0.9) * shared + np.sqrt(0.1) * own
    other = y + np.sqrt(0.9) * shared + np.sqrt(0.1) * theirs
    return Scored(
        task="binary",
        y=y,
        candidate=candidate,
        champion=other if champion else None,
        clusters=None,
        slices={"station": names},
    )


def test_a_slice_that_lost_blocks_and_is_named() -> None:
    """AUC about .76 to .71 on one of 20 slices of 1,000 rows; the others are not named."""
    (line,) = judge_slices(FLOOR, scored(np.random.default_rng(5), worse=3), 0.95)
    assert not line.passed
    assert line.rule == "auc >= champion.auc where station is s03"
    assert "on the 1,000 rows where station is s03: breaks auc >= champion.auc beyond chance" in line.why
    assert "over 20 slices" in line.why


def test_a_slice_below_an_absolute_floor_blocks() -> None:
    """AUC 0.76 everywhere keeps 0.6 and breaks 0.9, whether or not there is a champion."""
    rows = scored(np.random.default_rng(7), slices=3, champion=False)
    (clear,) = judge_slices(parse_rule("auc >= 0.6"), rows, 0.95)
    assert clear.passed
    assert clear.why == "no slice of station breaks auc >= 0.6 beyond chance (3 judged)"
    broken = judge_slices(parse_rule("auc >= 0.9"), rows, 0.95)
    assert sorted(line.rule for line in broken) == [f"auc >= 0.9 where station is s0{number}" for number in range(3)]
    assert judge_slices(FLOOR, rows, 0.95) == ()


def test_a_smaller_error_is_better() -> None:
    """The floor of an error is a ceiling: twice the champion's error on one slice of two."""
    random = np.random.default_rng(8)
    y = random.normal(size=400)
    noise = random.normal(size=400)
    names = np.repeat(["a", "b"], 200)
    rows = Scored(
        task="regression",
        y=y,
        candidate=y + np.where(names == "b", 2, 1) * noise,
        champion=y + noise,
        clusters=None,
        slices={"plant": names},
    )
    (line,) = judge_slices(parse_rule("rmse <= champion.rmse"), rows, 0.95)
    assert line.rule == "rmse <= champion.rmse where plant is b"


@pytest.mark.parametrize(("rows", "positives"), [(49, 20), (200, 9)])
def test_a_slice_that_is_too_small_is_told_and_blocks_nothing(rows: int, positives: int) -> None:
    """However bad it looks: fewer than 50 rows, or than 10 of a class."""
    y = np.zeros(rows)
    y[:positives] = 1
    names = np.full(rows, "only")
    upside_down = Scored(task="binary", y=y, candidate=1 - y, champion=y, clusters=None, slices={"c": names})
    (line,) = judge_slices(FLOOR, upside_down, 0.95)
    assert line.passed
    assert line.why == "no slice of c breaks auc >= champion.auc beyond chance (0 judged, 1 too small to be judged)"


def told(values: npt.ArrayLike) -> list[str]:
    return cut(values).tolist()


def test_rows_are_cut_by_value_and_numbers_by_quarters() -> None:
    """Missing is a slice too; of very many values the rare ones are one slice."""
    assert told(pd.Series(["UA", None, "DL"])) == ["UA", "(missing)", "DL"]
    assert told(np.array([1.0, 2.0, np.nan])) == ["1", "2", "(missing)"]
    assert told(np.array([True, False])) == ["True", "False"]
    assert told(np.arange(100.0))[::33] == ["(-0.001, 24.75]", "(24.75, 49.5]", "(49.5, 74.25]", "(74.25, 99.0]"]
    many = [f"k{number}" for number in range(60) for _ in range(2 if number < 50 else 1)]
    assert told(pd.Series(many)).count(OTHERS) == 10

"""How a reproduction is told."""

from __future__ import annotations

from dataclasses import replace

from flyball.cli.reproduce import render, sentence
from flyball.loop.reproduce import Reproduction

SAME = Reproduction(
    model="churn",
    version=3,
    label="churn-20130701-d3f9a1c2-lgbm",
    result="bit-equal",
    data="source",
    notes=(),
    packages={},
    rows=6_402,
    differing=0,
    largest=0.0,
    tolerance=1e-5,
    dump_equal=True,
    graph_equal=None,
)


def test_what_is_the_same_is_said_in_one_line_each() -> None:
    """And what could not be told, so."""
    assert render(SAME).splitlines() == [
        "version         churn v3  churn-20130701-d3f9a1c2-lgbm",
        "result          bit-equal on 6,402 rows",
        "predictions     6,402 of 6,402 rows equal to the bit",
        "model's dump    equal",
        "compiled graph  cannot be told",
        "data            read from its source again, same digest",
        "environment     the packages it was made with",
    ]


def test_what_differs_is_said_with_how_far() -> None:
    """Packages and data files by name."""
    other = replace(
        SAME,
        result="different",
        differing=12,
        largest=0.25,
        data="kept",
        notes=("data file rows.parquet is gone",),
        packages={"lightgbm": ("4.5.0", "4.7.0"), "numpy": ("2.0.0", None)},
    )
    assert sentence(other) == "different: 12 of 6,402 rows differ, by at most 0.25"
    assert render(other).splitlines()[-3:] == [
        "data            the rows kept with its run",
        "environment     lightgbm 4.5.0 → 4.7.0; numpy 2.0.0 → absent",
        "note            data file rows.parquet is gone",
    ]

"""The profile of a Parquet file is the profile of its rows, however few columns are read at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flyball.monitor.files import COLUMNS, profile_parquet
from flyball.stats.counting import profile_window
from flyball.stats.fitting import fit_reference

ROWS = 1_000


def test_a_files_profile_is_that_of_its_rows(tmp_path: Path) -> None:
    """More columns than are read side by side, numbers and categories, row groups that end anywhere; a column that is
    missing is missing in every row, and one that nobody knows is not read.
    """
    rng = np.random.default_rng(0)
    numbers = {f"n{place:02d}": rng.normal(size=ROWS) for place in range(2 * COLUMNS + 1)}
    levels = {"c": rng.choice(["a", "b", "c"], ROWS).astype(object), "gone": rng.normal(size=ROWS)}
    columns = {**numbers, **levels}
    reference = fit_reference(columns, {name: "category" if name == "c" else "number" for name in columns}, None)
    held = {name: column for name, column in columns.items() if name != "gone"}
    file = tmp_path / "window.parquet"
    pq.write_table(pa.table({**held, "unknown": np.arange(ROWS)}), file, row_group_size=333)
    found, expected = profile_parquet(reference, file), profile_window(reference, held)
    assert found.rows == ROWS
    assert list(found.features) == list(reference.features)
    for name, feature in expected.features.items():
        got = found.features[name].tally
        assert np.array_equal(got.counts, feature.tally.counts), name
        assert (got.missing == feature.tally.missing).all(), name
        assert (got.bends == feature.tally.bends).all(), name
    assert found.features["gone"].missing == ROWS


def test_a_files_slices_are_those_of_its_rows(tmp_path: Path) -> None:
    """What cuts is read beside every group of columns, whether or not it is looked at itself; columns that are all missing
    fill a group of their own.
    """
    rng = np.random.default_rng(0)
    columns = {f"n{place:02d}": rng.normal(size=4 * ROWS) for place in range(3 * COLUMNS)}
    held = {**dict(list(columns.items())[: 2 * COLUMNS]), "c": rng.choice(["a", "b"], 4 * ROWS).astype(object)}
    kinds = dict.fromkeys(columns, "number") | {"c": "category"}
    known = fit_reference(columns | held, kinds, None, slices=["c", "n00"])
    reference = replace(known, features={name: known.features[name] for name in columns})
    file = tmp_path / "window.parquet"
    pq.write_table(pa.table(held), file, row_group_size=333)
    found, expected = profile_parquet(reference, file), profile_window(reference, held)
    assert {name: [part.rows for part in parts] for name, parts in found.slices.items()} == {
        name: [part.rows for part in parts] for name, parts in expected.slices.items()
    }
    for name, parts in expected.slices.items():
        for part, got in zip(parts, found.slices[name], strict=True):
            assert list(got.features) == list(part.features)
            for feature, one in part.features.items():
                assert np.array_equal(got.features[feature].counts, one.counts), (name, feature)
                assert got.features[feature].missing == one.missing, (name, feature)

"""`flyball monitor MODEL --file`: a file's rows against what the live version was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.dashboard.records import Window
from flyball.registry.projects import add_project
from flyball.stats.fitting import answers_of, fit_reference
from flyball.stats.profile_file import reference_bytes
from tests.integration.cli.conftest import Site

SETTINGS = '[model]\nname = "churn"\ntask = "binary"\nadopted = true\ntarget = "left"\n'
KINDS = {"visits": "number", "paid": "number", "plan": "category"}
ROWS = 20_000
TWICE = pa.table([[1.0], [2.0], [True], ["gold"]], names=["visits", "visits", "paid", "plan"])


def rows(seed: int, count: int = ROWS) -> pd.DataFrame:
    """A tenth are gold; `visits` and `paid` are independent of it."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "visits": random.normal(4.0, 1.0, count),
            "paid": random.random(count) < 0.4,
            "plan": np.where(random.random(count) < 0.9, "basic", "gold"),
        }
    )


@pytest.fixture
def watched(site: Site, tmp_path: Path) -> Site:
    """v1 is live and has a reference, cut by plan; its project asks for no slices. v2 has none."""
    settle(site, tmp_path, "")
    known = rows(1)
    columns = {name: known[name].to_numpy() for name in KINDS} | answers_of("binary", np.full(ROWS, 0.5))
    found = fit_reference(columns, KINDS | {"(score)": "number", "(confidence)": "number"}, None, slices=["plan"])
    (site.home.path / "runs/run1/bundle/profile.json").write_bytes(reference_bytes(found))
    return site


def settle(site: Site, folder: Path, monitor: str) -> None:
    """The project's settings, [monitor] among them."""
    (folder / "flyball.toml").write_text(f"{SETTINGS}[monitor]\n{monitor}\n")
    with site.database.write() as tx:
        add_project(tx, name="churn", directory=folder, at=datetime(2013, 3, 1, tzinfo=UTC))


@pytest.fixture
def judged(watched: Site, tmp_path: Path) -> Callable[[Any], Any]:
    """The JSON document on a frame or table."""

    def judge(table: pd.DataFrame | pa.Table) -> Any:
        pq.write_table(pa.table(table), tmp_path / "rows.parquet", row_group_size=7_000)
        result = watched("monitor", "churn", "--file", str(tmp_path / "rows.parquet"), "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return judge


def verdicts(document: Any) -> dict[str, str]:
    return {item["feature"]: item["verdict"] for item in document["windows"][0]["features"]}


def test_rows_as_in_training_are_steady(judged: Callable[[Any], Any], tmp_path: Path) -> None:
    """Every feature is judged, and nothing else: what the model answers is not in the file, and other columns are let be."""
    found = judged(rows(2).assign(left=1, id=np.arange(ROWS)))
    assert verdicts(found) == dict.fromkeys(KINDS, "steady")
    assert (found["model"], found["file"]) == ("churn", str(tmp_path / "rows.parquet"))
    assert found["reason"] == f"inputs as in training: 3 steady on {ROWS} rows"


def test_a_program_reads_it_as_a_window_without_a_time(judged: Callable[[Any], Any]) -> None:
    """The same names as in the windows of `flyball monitor MODEL --json`."""
    (window,) = judged(rows(2))["windows"]
    assert window.keys() == {field.name for field in fields(Window)} | {"metrics"}
    assert (window["kind"], window["version"], window["rows"]) == ("drift", 1, ROWS)
    assert window["day"] is window["start"] is window["ends"] is None


def test_what_moved_is_named_first_and_the_exit_code_is_0(watched: Site, tmp_path: Path) -> None:
    """A verdict was given, whichever it is; as a day's: each statistic beside the bound it is held against."""
    moved = rows(2)
    moved["visits"] += 0.5
    moved.to_parquet(tmp_path / "rows.parquet")
    result = watched("monitor", "churn", "--file", str(tmp_path / "rows.parquet"))
    assert result.exit_code == 0
    head, heads, first, *_, last = result.stdout.splitlines()
    assert head == f"{tmp_path / 'rows.parquet'}  drift: drift, v1, 20,000 rows"
    assert heads.split() == ["FEATURE", "VERDICT", "METHOD", "VALUE", "BOUND"]
    assert first.split()[:2] == ["visits", "drift"]
    assert last.startswith("visits (psi 0.")
    assert last.endswith("; 2 steady")


def test_nothing_is_written(watched: Site, tmp_path: Path) -> None:
    """No window, no decision, no alert; no file in the home."""
    before = sorted(watched.home.path.rglob("*"))
    rows(2).assign(visits=0.0).to_parquet(tmp_path / "rows.parquet")
    assert watched("monitor", "churn", "--file", str(tmp_path / "rows.parquet")).exit_code == 0
    for held in ("window", "decision", "alert"):
        assert watched.database.all(f'SELECT * FROM "{held}"') == [], held
    assert sorted(watched.home.path.rglob("*")) == before


def test_slices_are_judged_where_the_settings_ask_for_them(
    judged: Callable[[Any], Any], watched: Site, tmp_path: Path
) -> None:
    """Moved among the gold ones alone, and by too little to be seen over all rows; in several batches and row groups."""
    moved = rows(2, 100_000)
    moved["visits"] += np.where(moved["plan"] == "gold", 0.3, 0.0)
    assert verdicts(judged(moved)) == dict.fromkeys(KINDS, "steady")
    settle(watched, tmp_path, 'slices = ["plan"]')
    found = judged(moved)
    assert verdicts(found) == {"plan=gold: visits": "drift", **dict.fromkeys(KINDS, "steady")}
    assert found["windows"][0]["verdict"] == "drift"
    settle(watched, tmp_path, 'slices = ["paid"]')
    assert verdicts(judged(moved))["slices by paid"] == "cannot_judge"


def test_only_the_features_that_the_settings_name_are_needed(
    judged: Callable[[Any], Any], watched: Site, tmp_path: Path
) -> None:
    """And what the rows are cut by."""
    settle(watched, tmp_path, 'features = ["visits"]\nslices = ["plan"]')
    assert verdicts(judged(rows(2)[["plan", "visits"]])) == {"visits": "steady"}
    rows(2)[["visits"]].to_parquet(tmp_path / "rows.parquet")
    assert "lacks plan" in watched("monitor", "churn", "--file", str(tmp_path / "rows.parquet")).stderr


@pytest.mark.parametrize(
    "columns",
    [
        {"paid": pa.int8(), "plan": pa.large_string()},
        {"paid": pa.float32(), "plan": pa.dictionary(pa.int8(), pa.string())},
        {"visits": pa.float16(), "plan": pa.string_view()},
        {"visits": pa.decimal128(8, 3)},
    ],
    ids=str,
)
def test_columns_may_be_of_any_type_that_holds_the_same(
    judged: Callable[[Any], Any], columns: dict[str, pa.DataType]
) -> None:
    """Booleans as numbers, texts as codes of a list."""
    table = pa.table(rows(2).round(3))
    for name, kind in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(kind, safe=False))
    assert verdicts(judged(table)) == dict.fromkeys(KINDS, "steady")


def test_a_column_of_nothing_is_missing_in_every_row(judged: Callable[[Any], Any]) -> None:
    """Which training never saw; integers too large for a float are rounded."""
    huge = pa.array([2**60 + 1] * ROWS, pa.int64())
    table = pa.table(rows(2)).drop_columns(["visits", "plan"])
    found = judged(table.append_column("visits", huge).append_column("plan", pa.nulls(ROWS)))
    assert verdicts(found) == {"visits": "drift", "plan": "drift", "paid": "steady"}
    assert {item["feature"]: item["missing"] for item in found["windows"][0]["features"]}["plan"] == ROWS


def test_a_file_without_rows_cannot_be_judged(judged: Callable[[Any], Any]) -> None:
    """As a window without any."""
    assert judged(rows(2, 0).astype({"plan": "str"}))["windows"][0]["verdict"] == "cannot_judge"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"visits": [1.0], "fee": [2]}, "lacks paid, plan; it has visits, fee; add a column for each"),
        ({}, "lacks visits, paid, plan; it has no column"),
        (
            {"visits": ["many"], "paid": [True], "plan": ["gold"]},
            "column 'visits' holds string, training held numbers; write it as integers, floats, decimals or booleans",
        ),
        (
            {"visits": [1.0], "paid": [True], "plan": [7]},
            "column 'plan' holds int64, training held text; write it as text",
        ),
        ({"visits": [{"a": 1}], "paid": [True], "plan": ["gold"]}, "holds struct<a: int64>, training held numbers"),
        (TWICE, "has 2 columns named 'visits'; leave one"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(watched: Site, tmp_path: Path, table: Any, said: str) -> None:
    """Exit 2; the file, what it has, what is needed and what to do."""
    file = tmp_path / "rows.parquet"
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), file)
    result = watched("monitor", "churn", "--file", str(file))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"{file}: ")
    assert said in result.stderr


@pytest.mark.parametrize("content", [b"", b"visits,paid,plan\n1,1,gold\n", b"PAR1 and no more PAR1"])
def test_what_is_not_parquet_is_refused(watched: Site, tmp_path: Path, content: bytes) -> None:
    """Whatever its name says."""
    file = tmp_path / "rows.parquet"
    file.write_bytes(content)
    result = watched("monitor", "churn", "--file", str(file))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"{file}: is not a Parquet file: ")
    assert result.stderr.endswith("as pandas' `to_parquet` writes it\n")


def test_a_torn_file_is_refused(watched: Site, tmp_path: Path) -> None:
    """Its end, which says what is in it, is whole; its pages are not."""
    file = tmp_path / "rows.parquet"
    rows(2).to_parquet(file)
    content = bytearray(file.read_bytes())
    content[4:50_000] = b"\xff" * 49_996
    file.write_bytes(content)
    result = watched("monitor", "churn", "--file", str(file))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"{file}: cannot be read to its end: ")


@pytest.mark.parametrize(
    "words",
    ["--date 2013-04-02", "--drift", "--performance", "--backfill", "--backfill --since 2013-04-02", "--limit 20"],
)
def test_what_is_about_windows_is_refused_beside_a_file(watched: Site, tmp_path: Path, words: str) -> None:
    """Refused, not ignored."""
    rows(2).to_parquet(tmp_path / "rows.parquet")
    result = watched("monitor", "churn", "--file", str(tmp_path / "rows.parquet"), *words.split())
    assert result.exit_code == 2
    assert f"--file with {', '.join(word for word in words.split() if word.startswith('--'))}: " in result.stderr


def test_who_has_no_reference_says_so(watched: Site, tmp_path: Path) -> None:
    """A version without, an unknown model, a file that is not there."""
    file = tmp_path / "rows.parquet"
    assert "does not exist" in watched("monitor", "churn", "--file", str(file)).stderr
    rows(2, 100).to_parquet(file)
    assert watched("promote", "churn@2").exit_code == 0
    result = watched("monitor", "churn", "--file", str(file))
    assert (result.exit_code, "v2 has no reference profile" in result.stderr) == (2, True)
    assert watched("monitor", "chum", "--file", str(file)).stderr.startswith("no model 'chum' here")

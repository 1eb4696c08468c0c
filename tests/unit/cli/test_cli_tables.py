"""Files of rows: how the times in them are read, whichever format they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from flyball.cli.tables import FORMATS
from flyball.engine.contract import Columns, Contract, Feature
from flyball.errors import Mistake

FEATURES = (
    Feature(name="asked", kind="timestamp", nullable=True, timezone="Europe/Berlin"),
    Feature(name="born", kind="timestamp", nullable=False),
    Feature(name="age", kind="number", nullable=True),
)
OF = Contract(model="m", task="regression", features=FEATURES, classes=(), positive=None, example={})
ASKED = ["2013-08-01T12:00:00.000000Z", ""]
BORN = ["1980-02-29T00:00:00.000000", "1990-01-01T12:30:00.000000"]


def csv(path: Path, asked: list[Any], born: list[Any]) -> None:
    lines = [f"{one},{two},1.5" for one, two in zip(asked, born, strict=True)]
    path.write_text("\n".join(["asked,born,age", *lines]))


def jsonl(path: Path, asked: list[Any], born: list[Any]) -> None:
    rows = [{"asked": one or None, "born": two, "age": None} for one, two in zip(asked, born, strict=True)]
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))


def parquet(path: Path, asked: list[Any], born: list[Any]) -> None:
    times = pd.to_datetime(pd.Series([text or None for text in asked]), format="ISO8601", utc=True)
    pd.DataFrame(
        {
            "asked": times.dt.tz_convert("Asia/Kathmandu"),
            "born": pd.to_datetime(pd.Series(born), format="ISO8601"),
            "age": 1.5,
        }
    ).to_parquet(path)


def answered(source: Path) -> Columns:
    """The columns that the model would be asked."""
    seen: list[Columns] = []

    def answer(columns: Columns) -> dict[str, Any]:
        seen.append(columns)
        return {"prediction": [0.0] * len(columns["age"])}

    FORMATS[source.suffix](source, source.with_name(f"out{source.suffix}"), OF, answer)
    return seen[0]


@pytest.mark.parametrize("write", [csv, jsonl, parquet])
def test_times_are_the_same_from_every_kind_of_file(write: Callable[..., None], tmp_path: Path) -> None:
    """Parquet has times of its own; elsewhere they are text, as in a request."""
    source = tmp_path / f"in.{write.__name__}"
    write(source, ["2013-08-01 14:00:00+02:00", ""], ["1980-02-29", "1990-01-01 12:30:00"])
    columns = answered(source)
    assert columns["asked"].tolist() == ASKED
    assert columns["born"].tolist() == BORN


def test_a_dates_column_of_parquet_is_a_column_of_times(tmp_path: Path) -> None:
    """Its midnights."""
    source = tmp_path / "in.parquet"
    born = pd.Series(pd.to_datetime(["1980-02-29"])).dt.date
    pd.DataFrame({"asked": [pd.NaT], "born": born, "age": [1.5]}).to_parquet(source)
    assert answered(source)["born"].tolist() == BORN[:1]


@pytest.mark.parametrize("missing", ["", "NA", "null", "NaT"])
def test_a_missing_time_in_a_csv_file_may_be_written_in_several_ways(missing: str, tmp_path: Path) -> None:
    """As a missing number may."""
    csv(tmp_path / "in.csv", [missing], ["1980-02-29"])
    assert answered(tmp_path / "in.csv")["asked"].tolist() == [""]


@pytest.mark.parametrize("write", [csv, jsonl])
def test_a_time_whose_zone_is_unclear_is_named(write: Callable[..., None], tmp_path: Path) -> None:
    """Rows of a CSV file are counted from 1, as people do; those of JSON lines as in a request."""
    source = tmp_path / f"in.{write.__name__}"
    write(source, ["2013-08-01T12:00Z", "2013-08-01T12:00"], ["1980-02-29", "1990-01-01"])
    row = {"csv": "row 2: column", "jsonl": "row 1, column"}[write.__name__]
    with pytest.raises(Mistake, match=f"{row} 'asked': got a date-time without a zone, needs"):
        answered(source)

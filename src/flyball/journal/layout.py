"""What a Parquet file of the lake holds and where it lies: `lake/<kind>/model=<model>/date=<event date>/b<batch>.parquet`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.store.home import Home

Kind = Literal["predictions", "outcomes"]

#: Parquet metadata of every file in the lake: the protocol of what is below.
METADATA = {"flyball.lake": "1"}

TIME = pa.timestamp("us", "UTC")

#: `features` before any row had one: Parquet knows no struct without fields.
NO_FEATURES = pa.struct([pa.field("none", pa.float64())])

#: `prediction` is text where a file's models are multiclass; `features` has one field per feature: double, string or bool.
PREDICTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("timestamp", TIME),
        ("received_at", TIME),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("variant", pa.string()),
        ("role", pa.string()),
        ("source", pa.string()),
        ("generation", pa.int64()),
        ("key", pa.string()),
        ("request_id", pa.string()),
        ("latency_ms", pa.float64()),
        ("prediction", pa.float64()),
        ("score", pa.float64()),
        ("features", NO_FEATURES),
    ]
)

#: `value` as text, and as `number` where it is a number or a bool; both null: an earlier outcome is withdrawn.
OUTCOMES = pa.schema(
    [
        ("outcome_id", pa.string()),
        ("id", pa.string()),
        ("key", pa.string()),
        ("model", pa.string()),
        ("name", pa.string()),
        ("value", pa.string()),
        ("number", pa.float64()),
        ("timestamp", TIME),
        ("received_at", TIME),
    ]
)

SCHEMAS: dict[Kind, pa.Schema] = {"predictions": PREDICTIONS, "outcomes": OUTCOMES}


def model_folder(home: Home, kind: Kind, model: str) -> Path:
    return home.lake / kind / f"model={model}"


def partition(home: Home, kind: Kind, model: str, date: str) -> Path:
    return model_folder(home, kind, model) / f"date={date}"


def date_of(at: datetime) -> str:
    """The UTC date a time lies in, as `2013-03-01`."""
    return at.astimezone(UTC).date().isoformat()


def lake_files(home: Home, kind: Kind, model: str, first: str | None = None, last: str | None = None) -> list[str]:
    """Whole Parquet files of one model in the dates `first` to `last`, both included (None: no bound), oldest date first."""
    folder = model_folder(home, kind, model)
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name.startswith("date="))
    except FileNotFoundError:
        return []
    wanted = [name for name in names if (first is None or name[5:] >= first) and (last is None or name[5:] <= last)]
    return [str(folder / name / file) for name in wanted for file in parquet_files(folder / name)]


def parquet_files(folder: Path) -> list[str]:
    """Names of the whole files in one partition; a draft has another suffix. None if there is no such folder."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.endswith(".parquet"))
    except FileNotFoundError:
        return []

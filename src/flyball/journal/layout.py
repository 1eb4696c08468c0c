"""What a Parquet file of the lake holds and where it lies: `lake/<kind>/model=<model>/date=<event date>/b<batch>.parquet`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from flyball.store.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.store.home import Home

Kind = Literal["predictions", "outcomes", "errors"]

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

#: requests that were refused or failed, without their values. `column` is the first of `columns`, those at fault; null
#: where none is. `version` is null and `model` is `-` where the request reached no model; `caller` is the address it came
#: from, a proxy's where there is one.
ERRORS = pa.schema(
    [
        ("id", pa.string()),
        ("timestamp", TIME),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("status", pa.int64()),
        ("reason", pa.string()),
        ("column", pa.string()),
        ("columns", pa.list_(pa.string())),
        ("caller", pa.string()),
        ("request_id", pa.string()),
        ("route", pa.string()),
    ]
)

SCHEMAS: dict[Kind, pa.Schema] = {"predictions": PREDICTIONS, "outcomes": OUTCOMES, "errors": ERRORS}


def model_folder(home: Home, kind: Kind, model: str) -> Path:
    return home.lake / kind / f"model={model}"


def partition(home: Home, kind: Kind, model: str, date: str) -> Path:
    return model_folder(home, kind, model) / f"date={date}"


def date_of(at: datetime) -> str:
    """The UTC date a time lies in, as `2013-03-01`."""
    return at.astimezone(UTC).date().isoformat()


def lake_files(home: Home, kind: Kind, model: str, first: str | None = None, last: str | None = None) -> list[str]:
    """Whole Parquet files of one model in the dates `first` to `last`, both included (None: no bound), oldest date first."""
    folder = str(model_folder(home, kind, model))
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith("date="))  # noqa: PTH208  # as below
    except FileNotFoundError:
        return []
    wanted = [name for name in names if (first is None or name[5:] >= first) and (last is None or name[5:] <= last)]
    files = [f"{folder}/{name}/{file}" for name in wanted for file in parquet_files(f"{folder}/{name}")]
    replaced = _replaced(home)
    return [file for file in files if file not in replaced] if replaced else files


def parquet_files(folder: Path | str) -> list[str]:
    """Names of the whole files in one partition; a draft has another suffix. None if there is no such folder."""
    try:
        # A loop looks into hundreds of folders a beat, and `Path.iterdir` takes five times as long.
        return sorted(name for name in os.listdir(folder) if name.endswith(".parquet"))  # noqa: PTH208
    except FileNotFoundError:
        return []


def write_draft(folder: Path, name: str, table: pa.Table) -> Path:
    """`table` on disk beside where it shall be called `name`; readers do not see it until it is renamed."""
    draft = folder / f".{name}.draft"
    with draft.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    return draft


@contextmanager
def steady(home: Home, *, swapping: bool = False) -> Iterator[None]:
    """While held, no merge changes which files there are. Readers share it and wait for a swap's few milliseconds."""
    try:
        file = (home.lake / ".swap.lock").open("ab")
    except OSError:
        # No lake yet, or one this reader may not write to: it reads without waiting.
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX if swapping else fcntl.LOCK_SH)
        yield


def merge_record(home: Home) -> Path:
    """What is being merged into what; there is one while a merge is under way, or was when its process died."""
    return home.lake / ".merge.json"


def _replaced(home: Home) -> set[str]:
    """Files that a merge, killed half-way through its swap, has replaced but not yet deleted."""
    try:
        said = read_json(merge_record(home))
    except FileNotFoundError:
        return set()
    folder = home.lake / said["folder"]
    return {str(folder / name) for name in said["of"]} if (folder / said["into"]).exists() else set()

"""How much was answered and how fast, from the newest date partitions of the lake; a partition is read once."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flyball.dashboard.records import Traffic
from flyball.journal.layout import model_folder, parquet_files, partition
from flyball.store import Home

DAYS = 7
_PARTITION = re.compile(r"date=(\d{4}-\d{2}-\d{2})")


def traffic(home: Home, model: str) -> Traffic | None:
    """The newest day with answers and the week that ends with it; None before the first answer is in the lake."""
    days = _days(home, model)
    if not days:
        return None
    newest = max(days)
    rows, quantiles = _counted(_files(home, model, newest))
    p50, p95, p99 = quantiles or (None, None, None)
    week = [day for day in days if newest - timedelta(days=DAYS) < day]
    return Traffic(
        day=newest,
        rows=rows,
        week_rows=sum(_counted(_files(home, model, day))[0] for day in week),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )


def _days(home: Home, model: str) -> list[date]:
    """Dates that have a partition. A name that is no folder's name has none: it may come from anywhere."""
    if "/" in model or model in ("", ".", ".."):
        return []
    try:
        names = [item.name for item in model_folder(home, "predictions", model).iterdir()]
    except (FileNotFoundError, ValueError):  # ValueError: a NUL in the name
        return []
    return [date.fromisoformat(match[1]) for name in names if (match := _PARTITION.fullmatch(name))]


def _files(home: Home, model: str, day: date) -> tuple[tuple[str, int], ...]:
    """Files with their sizes: the key under which a partition's count is remembered."""
    folder = partition(home, "predictions", model, day.isoformat())
    return tuple((str(folder / name), (folder / name).stat().st_size) for name in parquet_files(folder))


@lru_cache(maxsize=4096)
def _counted(files: tuple[tuple[str, int], ...]) -> tuple[int, tuple[float, float, float] | None]:
    """Live rows, and the quantiles of their latencies in ms."""
    rows, latencies = 0, [np.empty(0)]
    for path, _ in files:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=["role", "latency_ms"])
        live = table.filter(pc.equal(table["role"], "live"))
        rows += live.num_rows
        latencies.append(live["latency_ms"].drop_null().to_numpy())
    known = np.concatenate(latencies)
    if len(known) == 0:
        return rows, None
    p50, p95, p99 = np.quantile(known, (0.5, 0.95, 0.99))
    return rows, (float(p50), float(p95), float(p99))

"""SQL for what lies in the lake's files, and the one DuckDB of a process that answers it."""

from __future__ import annotations

import functools
import glob
import os
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from flyball.journal.layout import PREDICTIONS, SCHEMAS, TIME, Kind, date_of
from flyball.store.clock import stamp

MEMORY_LIMIT = "512MB"
#: rows handed on at once.
BATCH_ROWS = 65_536
THREADS = 2

#: an outcome's own time may lie a little before its prediction's: clocks differ, and some give only the day.
OUTCOME_SLACK = timedelta(days=1)

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    TIME: "TIMESTAMPTZ",
    PREDICTIONS.field("features").type: "STRUCT(none DOUBLE)",
    pa.list_(pa.string()): "VARCHAR[]",
}


def relation(kind: Kind, files: list[str], *, features: bool = True) -> str:
    """SQL for a relation over `files`; without any, an empty one of the right types. `features`: whether they are read."""
    if not files:
        columns = [f'NULL::{_SQL_TYPES[field.type]} AS "{field.name}"' for field in SCHEMAS[kind]]
        return f"(SELECT {', '.join(columns)}, NULL::BIGINT AS file_row_number WHERE false)"
    # DuckDB takes each path for a pattern, so a folder called `[a]` has to be escaped.
    paths = ", ".join(quoted(glob.escape(file)) for file in files)
    # Features differ between versions, outcomes' columns never do; looking into every file first costs twice the time.
    union = "true" if kind == "predictions" and features else "false"
    return f"read_parquet([{paths}], union_by_name={union}, hive_partitioning=false, file_row_number=true)"


def query(sql: str) -> pa.Table:
    """The rows of one SELECT, times in UTC."""
    with closing(shared(os.getpid()).cursor()) as cursor:
        found = cursor.sql(sql).to_arrow_table()
    # DuckDB calls the zone Etc/UTC.
    zoned = [field.with_type(TIME) if pa.types.is_timestamp(field.type) else field for field in found.schema]
    return found.cast(pa.schema(zoned))


@functools.cache
def shared(pid: int) -> Any:  # noqa: ARG001 - DuckDB's threads do not follow a fork, so each process has its own
    return opened()


def opened() -> Any:
    """A connection; its cursors, which are sessions of their own, have its settings."""
    connection = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # DuckDB cannot tell how many outcomes a key's ASOF join begins with, takes them for a few, and would hold each against every
    # prediction: half a minute for 75,000 of them, in place of a second. Versions before 1.3 always sort.
    if connection.execute("SELECT 1 FROM duckdb_settings() WHERE name = 'asof_loop_join_threshold'").fetchone():
        connection.execute("SET GLOBAL asof_loop_join_threshold = 0")
    return connection


def names_of(kind: Kind) -> str:
    """A kind's columns, quoted: `column` is a word of SQL."""
    return ", ".join(f'"{name}"' for name in SCHEMAS[kind].names)


def last_date(end: datetime) -> str:
    """The last date with a moment before `end`."""
    return date_of(end - timedelta(microseconds=1))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def time_of(at: datetime) -> str:
    return f"TIMESTAMPTZ '{stamp(at)}'"

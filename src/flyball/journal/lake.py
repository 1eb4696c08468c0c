"""Reading the lake with DuckDB: what was predicted, what came true, and which outcome belongs to which prediction.

Windows are event time, `[start, end)`. Only files of the dates that can matter are opened.
"""

# ruff: noqa: S608 - views take no parameters; every value in the SQL below passed `_quoted` or `_time`

from __future__ import annotations

import functools
import glob
import os
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from flyball.journal.layout import METADATA, OUTCOMES, PREDICTIONS, SCHEMAS, TIME, Kind, date_of, lake_files, steady
from flyball.journal.line import NO_MODEL
from flyball.store.clock import stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from flyball.journal.line import Role
    from flyball.store.home import Home

MEMORY_LIMIT = "512MB"
#: rows handed on at once.
BATCH_ROWS = 65_536
THREADS = 2

# An outcome's own time may lie a little before its prediction's: clocks differ, and some give only the day.
_OUTCOME_SLACK = timedelta(days=1)

_SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    TIME: "TIMESTAMPTZ",
    PREDICTIONS.field("features").type: "STRUCT(none DOUBLE)",
    pa.list_(pa.string()): "VARCHAR[]",
}

# rows: the predictions to label. live: every live prediction that could own an outcome given by key.
# outcomes: of one name. An outcome given by key belongs to the key's latest live prediction at the outcome's time (without
# a time: to its latest of all); of several outcomes for one prediction, the one received last counts.
_SCORED = """
WITH rows AS MATERIALIZED (FROM {rows}),
by_key AS MATERIALIZED (
  SELECT key, number, value, timestamp, received_at, file_row_number, coalesce(timestamp, TIMESTAMPTZ 'infinity') AS until
  FROM {outcomes} WHERE id IS NULL AND key IN (SELECT key FROM rows)
),
owner AS (
  SELECT key, timestamp, arg_max(id, (received_at, id)) AS id
  FROM {live} WHERE key IN (SELECT key FROM by_key) GROUP BY key, timestamp
),
owned AS (
  SELECT id, number, value, timestamp, received_at, file_row_number FROM {outcomes} WHERE id IN (SELECT id FROM rows)
  UNION ALL
  SELECT owner.id, number, value, by_key.timestamp, received_at, file_row_number
  FROM by_key ASOF JOIN owner ON by_key.key = owner.key AND by_key.until >= owner.timestamp
),
latest AS (
  SELECT id, arg_max(
    {{label: number, label_text: value, label_at: coalesce(timestamp, received_at)}}, (received_at, file_row_number)
  ) AS outcome
  FROM owned {within} GROUP BY id
)
SELECT rows.id, rows.timestamp, version, variant, key, prediction, score, features,
  {label} AS label, outcome.label_text AS label_text, outcome.label_at AS label_at
FROM rows LEFT JOIN latest ON latest.id = rows.id
"""

# An outcome that came true later than this after its prediction does not count.
_WITHIN = (
    "JOIN (SELECT id AS asked, min(timestamp) AS answered FROM rows GROUP BY id) ON asked = id"
    " WHERE coalesce(timestamp, received_at) <= answered + to_microseconds({window_us})"
)

_POSITIVE = (
    "CASE WHEN outcome.label_text IS NULL THEN NULL"
    " WHEN outcome.label_text = {positive} OR outcome.label = TRY_CAST({positive} AS DOUBLE) THEN 1.0 ELSE 0.0 END"
)


def predictions(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """Live predictions in the window, in event order; columns of `layout.PREDICTIONS`."""
    with steady(home):
        return _query(f"FROM {_window(home, model, start, end, 'live')} ORDER BY timestamp, id")


@contextmanager
def inputs(home: Home, model: str, start: datetime, end: datetime) -> Iterator[pa.RecordBatchReader]:
    """Live predictions in the window in no order, batch by batch, whatever their number: version, score, features."""
    with steady(home), closing(_shared(os.getpid()).cursor()) as cursor:
        rows = _window(home, model, start, end, "live")
        yield cursor.sql(f"SELECT version, score, features FROM {rows}").to_arrow_reader(BATCH_ROWS)


def shadow(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """What shadow versions said to the same rows; a row's id is its live prediction's."""
    with steady(home):
        return _query(f"FROM {_window(home, model, start, end, 'shadow')} ORDER BY timestamp, id, version")


def answered_keys(home: Home, model: str, start: datetime, end: datetime) -> set[str]:
    """Keys that got a live prediction in the window."""
    with steady(home):
        rows = _window(home, model, start, end, "live")
        return set(_query(f"SELECT DISTINCT key FROM {rows} WHERE key IS NOT NULL")["key"].to_pylist())


def outcomes(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """Outcomes whose own time (else the time they were received) lies in the window; columns of `layout.OUTCOMES`."""
    at = "coalesce(timestamp, received_at)"
    with steady(home):
        source = _source("outcomes", lake_files(home, "outcomes", model, date_of(start), _last_date(end)))
        return _query(
            f"SELECT {', '.join(OUTCOMES.names)} FROM {source}"
            f" WHERE {at} >= {_time(start)} AND {at} < {_time(end)} ORDER BY {at}, received_at, outcome_id"
        )


def errors(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """Requests that were refused or failed in the window, in order; columns of `layout.ERRORS`. Model `-`: none was reached."""
    with steady(home):
        source = _source("errors", lake_files(home, "errors", model, date_of(start), _last_date(end)))
        return _query(
            f"SELECT {_names('errors')} FROM {source}"
            f" WHERE timestamp >= {_time(start)} AND timestamp < {_time(end)} ORDER BY timestamp, id"
        )


def scored(
    home: Home,
    model: str,
    start: datetime,
    end: datetime,
    *,
    name: str = "label",
    known_by: datetime | None = None,
    role: Role = "live",
    positive: str | None = None,
    window_s: float | None = None,
) -> pa.Table:
    """The window's predictions, each with its latest outcome called `name`, in event order.

    `positive`: the value that counts as 1, all others as 0, whatever they are written as; None: numbers as they are.
    `window_s`: for how long after its prediction an outcome counts, by its own time; None: for ever.

    Columns: id, timestamp, version, variant, key, prediction, score, features; label (double), label_text and label_at,
    null where nothing is known. `known_by` leaves out every outcome that came true later, so the past can be replayed.
    Opens every outcome file from `start` to `known_by`.
    """
    with steady(home):
        told = _told(home, model, start, name, known_by)
        owners = _owners(home, model, start, known_by, told)
        label = "outcome.label" if positive is None else _POSITIVE.format(positive=_quoted(positive))
        within = "" if window_s is None else _WITHIN.format(window_us=round(window_s * 1e6))
        rows = _window(home, model, start, end, role)
        sql = _SCORED.format(rows=rows, live=owners, outcomes=told, label=label, within=within)
        return _query(f"{sql} ORDER BY rows.timestamp, rows.id, version")


def union(kind: Kind, files: list[str]) -> pa.Table:
    """All rows of some of the lake's files as one table, ready to be a file of the lake itself."""
    return _query(f"SELECT {_names(kind)} FROM {_source(kind, files)}").replace_schema_metadata(METADATA)


def touched(
    home: Home, model: str, fresh: Collection[str], start: datetime, end: datetime
) -> tuple[list[datetime], bool]:
    """Times of live predictions in [start, end), by the minute, whose outcomes the lake's files `fresh` may have changed;
    and whether they hold outcomes of predictions from before `start`, by id.

    Those that an outcome in them belongs to by id; those of a key that an outcome in them names, or that a prediction in
    them may have taken an outcome from; and the predictions in them. Never too few; by key sometimes too many.
    """
    with steady(home):
        every = _source("predictions", lake_files(home, "predictions", model, date_of(start)), features=False)
        keyed = _source("outcomes", lake_files(home, "outcomes", model, date_of(start - _OUTCOME_SLACK)))
        told, new = _news(home, "outcomes", model, fresh), _news(home, "predictions", model, fresh)
        found = _query(
            f"WITH told AS MATERIALIZED (SELECT id, key FROM {told}),"
            f" new AS MATERIALIZED (SELECT id, key FROM {new} WHERE role = 'live'),"
            f" taken AS MATERIALIZED (SELECT DISTINCT key FROM {keyed} WHERE id IS NULL AND key IN (SELECT key FROM new)),"
            f" asked AS MATERIALIZED (SELECT id, key, timestamp FROM {every} WHERE role = 'live'"
            f" AND timestamp >= {_time(start)})"
            " SELECT DISTINCT date_trunc('minute', timestamp) AS answered FROM asked"
            f" WHERE timestamp < {_time(end)}"
            " AND (id IN (SELECT id FROM told WHERE id IS NOT NULL) OR key IN (SELECT key FROM told WHERE key IS NOT NULL)"
            " OR key IN (SELECT key FROM taken) OR id IN (SELECT id FROM new))"
            " UNION ALL (SELECT NULL FROM told WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM asked) LIMIT 1)"
            " ORDER BY answered"
        )
    times: list[datetime | None] = found["answered"].to_pylist()
    return [at for at in times if at is not None], None in times


def too_late(home: Home, model: str, fresh: Collection[str], before: datetime) -> int:
    """How many predictions from before `before` the outcomes in the lake's files `fresh` are about, by id."""
    with steady(home):
        earlier = _source("predictions", lake_files(home, "predictions", model, None, date_of(before)), features=False)
        found = _query(
            f"SELECT count(DISTINCT id) AS n FROM {earlier} WHERE role = 'live' AND timestamp < {_time(before)}"
            f" AND id IN (SELECT id FROM {_news(home, 'outcomes', model, fresh)} WHERE id IS NOT NULL)"
        )
    return int(found["n"][0].as_py())


def connect(home: Home, model: str) -> Any:
    """A DuckDB connection of its own with the views `predictions`, `shadow`, `outcomes`, `scored` and `errors` of one model.

    The views see what was carried before this call, and are empty, with types, where nothing was. `scored` has outcomes
    called `label`; `errors` has those requests that reached no model too. Ask soon: a merge may replace the files it saw.
    """
    connection = _opened()
    every = _source("predictions", lake_files(home, "predictions", model))
    told = _source("outcomes", lake_files(home, "outcomes", model))
    refused = _source("errors", [*lake_files(home, "errors", model), *lake_files(home, "errors", NO_MODEL)])
    views = {
        "predictions": f"SELECT {', '.join(PREDICTIONS.names)} FROM {every} WHERE role = 'live'",
        "shadow": f"SELECT {', '.join(PREDICTIONS.names)} FROM {every} WHERE role = 'shadow'",
        "outcomes": f"SELECT {', '.join(OUTCOMES.names)} FROM {told}",
        "scored": _SCORED.format(
            rows="predictions",
            live="predictions",
            outcomes=f"(FROM {told} WHERE name = 'label')",
            label="outcome.label",
            within="",
        ),
        "errors": f"SELECT {_names('errors')} FROM {refused}",
    }
    for name, sql in views.items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    return connection


def _news(home: Home, kind: Kind, model: str, fresh: Collection[str]) -> str:
    """SQL for the rows of those files of a kind that are among `fresh`."""
    return _source(kind, [file for file in lake_files(home, kind, model) if file in fresh], features=False)


def _window(home: Home, model: str, start: datetime, end: datetime, role: Role) -> str:
    """SQL for one model's predictions of one role in a window."""
    source = _source("predictions", lake_files(home, "predictions", model, date_of(start), _last_date(end)))
    return (
        f"(SELECT {', '.join(PREDICTIONS.names)} FROM {source}"
        f" WHERE role = {_quoted(role)} AND timestamp >= {_time(start)} AND timestamp < {_time(end)})"
    )


def _told(home: Home, model: str, start: datetime, name: str, known_by: datetime | None) -> str:
    """SQL for the outcomes of one name that may belong to predictions from `start` on."""
    last = None if known_by is None else date_of(known_by)
    source = _source("outcomes", lake_files(home, "outcomes", model, date_of(start - _OUTCOME_SLACK), last))
    known = "" if known_by is None else f" AND coalesce(timestamp, received_at) <= {_time(known_by)}"
    return f"(FROM {source} WHERE name = {_quoted(name)}{known})"


def _owners(home: Home, model: str, start: datetime, known_by: datetime | None, told: str) -> str:
    """SQL for the live predictions, from `start` on, that decide whose the outcomes given by key are."""
    keyed = _query(
        f"SELECT count(*) AS n, count(timestamp) AS timed, max(timestamp) AS latest FROM {told} WHERE id IS NULL"
    ).to_pylist()[0]
    if keyed["n"] == 0:
        return _source("predictions", [])
    # A keyed outcome without a time belongs to the key's latest prediction, wherever that lies.
    last = keyed["latest"] if keyed["timed"] == keyed["n"] else known_by
    files = lake_files(home, "predictions", model, date_of(start), None if last is None else date_of(last))
    until = "" if last is None else f" AND timestamp <= {_time(last)}"
    source = _source("predictions", files, features=False)
    return f"(SELECT id, key, timestamp, received_at FROM {source} WHERE role = 'live' AND timestamp >= {_time(start)}{until})"


def _source(kind: Kind, files: list[str], *, features: bool = True) -> str:
    """SQL for a relation over `files`; without any, an empty one of the right types. `features`: whether they are read."""
    if not files:
        columns = [f'NULL::{_SQL_TYPES[field.type]} AS "{field.name}"' for field in SCHEMAS[kind]]
        return f"(SELECT {', '.join(columns)}, NULL::BIGINT AS file_row_number WHERE false)"
    # DuckDB takes each path for a pattern, so a folder called `[a]` has to be escaped.
    paths = ", ".join(_quoted(glob.escape(file)) for file in files)
    # Features differ between versions, outcomes' columns never do; looking into every file first costs twice the time.
    union = "true" if kind == "predictions" and features else "false"
    return f"read_parquet([{paths}], union_by_name={union}, hive_partitioning=false, file_row_number=true)"


def _query(sql: str) -> pa.Table:
    """The rows of one SELECT, times in UTC."""
    with closing(_shared(os.getpid()).cursor()) as cursor:
        found = cursor.sql(sql).to_arrow_table()
    # DuckDB calls the zone Etc/UTC.
    zoned = [field.with_type(TIME) if pa.types.is_timestamp(field.type) else field for field in found.schema]
    return found.cast(pa.schema(zoned))


@functools.cache
def _shared(pid: int) -> Any:  # noqa: ARG001 - DuckDB's threads do not follow a fork, so each process has its own
    return _opened()


def _opened() -> Any:
    connection = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _names(kind: Kind) -> str:
    """A kind's columns, quoted: `column` is a word of SQL."""
    return ", ".join(f'"{name}"' for name in SCHEMAS[kind].names)


def _last_date(end: datetime) -> str:
    """The last date with a moment before `end`."""
    return date_of(end - timedelta(microseconds=1))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _time(at: datetime) -> str:
    return f"TIMESTAMPTZ '{stamp(at)}'"

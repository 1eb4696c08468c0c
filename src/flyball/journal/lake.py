"""Reading the lake with DuckDB: what was predicted, what came true, and which outcome belongs to which prediction.

Windows are event time, `[start, end)`. Only files of the dates that can matter are opened.
"""

# ruff: noqa: S608 - views take no parameters; every value in the SQL below passed `quoted` or `time_of`

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from flyball.journal.layout import METADATA, OUTCOMES, PREDICTIONS, Kind, date_of, lake_files, steady
from flyball.journal.line import NO_MODEL
from flyball.journal.relations import (
    BATCH_ROWS,
    OUTCOME_SLACK,
    last_date,
    names_of,
    opened,
    query,
    quoted,
    relation,
    shared,
    time_of,
)
from flyball.journal.told import Told, together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyball.journal.line import Role
    from flyball.store.home import Home


# rows: the predictions to label. live: every live prediction that could own an outcome given by key.
# outcomes: of one name. An outcome given by key belongs to the key's latest live prediction at the outcome's time (without
# a time: to its latest of all); of several outcomes for one prediction, the one received last counts.
_SCORED = """
WITH rows AS MATERIALIZED (FROM {rows}),
told AS MATERIALIZED (
  SELECT id, key, number, value, timestamp, received_at, file_row_number FROM {outcomes}
  WHERE id IN (SELECT id FROM rows) OR (id IS NULL AND key IN (SELECT key FROM rows))
),
by_key AS (SELECT *, coalesce(timestamp, TIMESTAMPTZ 'infinity') AS until FROM told WHERE id IS NULL),
owner AS (
  SELECT key, timestamp, arg_max(id, (received_at, id)) AS id
  FROM {live} WHERE key IN (SELECT key FROM by_key) GROUP BY key, timestamp
),
owned AS (
  SELECT id, number, value, timestamp, received_at, file_row_number FROM told WHERE id IS NOT NULL
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
SELECT rows.id, rows.timestamp, version, variant, key, prediction, score, {features}
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
        return query(f"FROM {_window(home, model, start, end, 'live')} ORDER BY timestamp, id")


@contextmanager
def inputs(home: Home, model: str, start: datetime, end: datetime) -> Iterator[pa.RecordBatchReader]:
    """Live predictions in the window in no order, batch by batch, whatever their number: version, score, features."""
    with steady(home), closing(shared(os.getpid()).cursor()) as cursor:
        rows = _window(home, model, start, end, "live")
        yield cursor.sql(f"SELECT version, score, features FROM {rows}").to_arrow_reader(BATCH_ROWS)


def shadow(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """What shadow versions said to the same rows; a row's id is its live prediction's."""
    with steady(home):
        return query(f"FROM {_window(home, model, start, end, 'shadow')} ORDER BY timestamp, id, version")


def answered_keys(home: Home, model: str, start: datetime, end: datetime) -> set[str]:
    """Keys that got a live prediction in the window."""
    with steady(home):
        rows = _window(home, model, start, end, "live")
        return set(query(f"SELECT DISTINCT key FROM {rows} WHERE key IS NOT NULL")["key"].to_pylist())


def outcomes(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """Outcomes whose own time (else the time they were received) lies in the window; columns of `layout.OUTCOMES`."""
    at = "coalesce(timestamp, received_at)"
    with steady(home):
        source = relation("outcomes", lake_files(home, "outcomes", model, date_of(start), last_date(end)))
        return query(
            f"SELECT {', '.join(OUTCOMES.names)} FROM {source}"
            f" WHERE {at} >= {time_of(start)} AND {at} < {time_of(end)} ORDER BY {at}, received_at, outcome_id"
        )


def errors(home: Home, model: str, start: datetime, end: datetime) -> pa.Table:
    """Requests that were refused or failed in the window, in order; columns of `layout.ERRORS`. Model `-`: none was reached."""
    with steady(home):
        source = relation("errors", lake_files(home, "errors", model, date_of(start), last_date(end)))
        return query(
            f"SELECT {names_of('errors')} FROM {source}"
            f" WHERE timestamp >= {time_of(start)} AND timestamp < {time_of(end)} ORDER BY timestamp, id"
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
    features: bool = True,
) -> pa.Table:
    """The window's predictions, each with its latest outcome called `name`, in event order.

    `positive`: the value that counts as 1, all others as 0, whatever they are written as; None: numbers as they are.
    `window_s`: for how long after its prediction an outcome counts, by its own time; None: for ever.
    `features`: whether they are read; they are most of a row.

    Columns: id, timestamp, version, variant, key, prediction, score, features; label (double), label_text and label_at,
    null where nothing is known. `known_by` leaves out every outcome that came true later, so the past can be replayed.
    Opens every outcome file from `start` to `known_by`.
    """
    with steady(home):
        files = _outcome_files(home, model, start, known_by)
        owners = _owners(home, model, start, known_by, together(files))
        label = "outcome.label" if positive is None else _POSITIVE.format(positive=quoted(positive))
        within = "" if window_s is None else _WITHIN.format(window_us=round(window_s * 1e6))
        rows = _window(home, model, start, end, role, features=features)
        wanted = "features," if features else ""
        sql = _SCORED.format(
            rows=rows, live=owners, outcomes=_told(files, name, known_by), label=label, within=within, features=wanted
        )
        return query(f"{sql} ORDER BY rows.timestamp, rows.id, version")


def union(kind: Kind, files: list[str]) -> pa.Table:
    """All rows of some of the lake's files as one table, ready to be a file of the lake itself."""
    return query(f"SELECT {names_of(kind)} FROM {relation(kind, files)}").replace_schema_metadata(METADATA)


def connect(home: Home, model: str) -> Any:
    """A DuckDB connection of its own with the views `predictions`, `shadow`, `outcomes`, `scored` and `errors` of one model.

    The views see what was carried before this call, and are empty, with types, where nothing was. `scored` has outcomes
    called `label`; `errors` has those requests that reached no model too. Ask soon: a merge may replace the files it saw.
    """
    connection = opened()
    every = relation("predictions", lake_files(home, "predictions", model))
    told = relation("outcomes", lake_files(home, "outcomes", model))
    refused = relation("errors", [*lake_files(home, "errors", model), *lake_files(home, "errors", NO_MODEL)])
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
            features="features,",
        ),
        "errors": f"SELECT {names_of('errors')} FROM {refused}",
    }
    for name, sql in views.items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    return connection


def _window(home: Home, model: str, start: datetime, end: datetime, role: Role, *, features: bool = True) -> str:
    """SQL for one model's predictions of one role in a window."""
    files = lake_files(home, "predictions", model, date_of(start), last_date(end))
    source = relation("predictions", files, features=features)
    names = [name for name in PREDICTIONS.names if features or name != "features"]
    return (
        f"(SELECT {', '.join(names)} FROM {source}"
        f" WHERE role = {quoted(role)} AND timestamp >= {time_of(start)} AND timestamp < {time_of(end)})"
    )


def _outcome_files(home: Home, model: str, start: datetime, known_by: datetime | None) -> list[str]:
    """Those that may hold outcomes of predictions from `start` on."""
    last = None if known_by is None else date_of(known_by)
    return lake_files(home, "outcomes", model, date_of(start - OUTCOME_SLACK), last)


def _told(files: list[str], name: str, known_by: datetime | None) -> str:
    """SQL for the outcomes of one name."""
    known = "" if known_by is None else f" AND coalesce(timestamp, received_at) <= {time_of(known_by)}"
    return f"(FROM {relation('outcomes', files)} WHERE name = {quoted(name)}{known})"


def _owners(home: Home, model: str, start: datetime, known_by: datetime | None, told: Told) -> str:
    """SQL for the live predictions, from `start` on, that decide whose the outcomes given by key are."""
    if not told.keyed:
        return relation("predictions", [])
    # A keyed outcome without a time belongs to the key's latest prediction, wherever that lies.
    ends = [end for end in (None if told.untimed else told.latest, known_by) if end is not None]
    last = min(ends, default=None)
    files = lake_files(home, "predictions", model, date_of(start), None if last is None else date_of(last))
    until = "" if last is None else f" AND timestamp <= {time_of(last)}"
    source = relation("predictions", files, features=False)
    return f"(SELECT id, key, timestamp, received_at FROM {source} WHERE role = 'live' AND timestamp >= {time_of(start)}{until})"

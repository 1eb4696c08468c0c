"""How many requests of a window broke the model's contract, and by which columns."""

# ruff: noqa: S608 - as in `lake`

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flyball.journal.layout import date_of, lake_files, steady
from flyball.journal.relations import last_date, query, relation, time_of

if TYPE_CHECKING:
    from flyball.store.home import Home


def refused(home: Home, model: str, start: datetime, end: datetime) -> tuple[int, dict[str, int]]:
    """(requests in all, {column: requests refused for it}); (0, {}) where none was refused.

    Requests in all are those that were answered, by their predictions' time, and those refused for the contract, by when
    they came. Of a refused request up to ten columns are known; of a flood of them not every one is (`serving.refusals`).
    """
    with steady(home):
        files = lake_files(home, "errors", model, date_of(start), last_date(end))
        if not files:
            return 0, {}
        source = relation("errors", files)
        rows = query(
            f"SELECT id, columns FROM {source} WHERE reason = 'contract'"
            f" AND timestamp >= {time_of(start)} AND timestamp < {time_of(end)}"
        )
        columns: dict[str, int] = {}
        for names in rows["columns"].to_pylist():
            for name in names or ():
                columns[name] = columns.get(name, 0) + 1
        if not columns:
            return 0, {}
        answered = relation(
            "predictions", lake_files(home, "predictions", model, date_of(start), last_date(end)), features=False
        )
        found = query(
            f"SELECT count(DISTINCT request_id) AS n FROM {answered} WHERE role = 'live'"
            f" AND timestamp >= {time_of(start)} AND timestamp < {time_of(end)}"
        )
    return rows.num_rows + int(found["n"][0].as_py()), columns

"""What news concerns: of which predictions the lake's new files may change what came true."""

# ruff: noqa: S608 - as in `lake`

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.journal.layout import Kind, date_of, lake_files, model_folder, steady
from flyball.journal.relations import OUTCOME_SLACK, query, relation, time_of
from flyball.journal.told import told_in

if TYPE_CHECKING:
    from collections.abc import Collection

    from flyball.store.home import Home


def touched(
    home: Home, model: str, fresh: Collection[str], start: datetime, end: datetime, *, near: datetime
) -> tuple[list[datetime], bool]:
    """Times of live predictions in [start, end), by the minute, whose outcomes the lake's files `fresh` may have changed;
    and whether they hold outcomes of predictions from before `start`, by id.

    Those that an outcome in them belongs to by id; those of a key that an outcome in them names, or that a prediction in
    them may have taken an outcome from; and the predictions in them. Never too few; by key sometimes too many.
    Where all of it concerns predictions from `near` on, which is so on most days, no older file is opened.
    """
    with steady(home):
        if near > start:
            told = told_in(lake_files(home, "outcomes", model, date_of(start - OUTCOME_SLACK)))
            older = [file for file, found in told.items() if found.untimed]
            times, elsewhere = _touched(home, model, fresh, near, end, beyond=_BEYOND_NEAR, older=older)
            if not elsewhere:
                return times, False
        return _touched(home, model, fresh, start, end, beyond=_BEYOND)


# told: news of outcomes; new: news of predictions; kept: outcomes by key that are no news. What concerns predictions that
# are not among `asked`: outcomes by id of others.
_BEYOND = "SELECT 1 FROM told WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM asked)"
# Outcomes by key too that belong to none of them; an older prediction; and one that takes an outcome from an older one.
_BEYOND_NEAR = (
    _BEYOND + " UNION ALL SELECT 1 FROM (SELECT key, until FROM told WHERE id IS NULL) AS told ANTI JOIN asked"
    " ON asked.key = told.key AND asked.timestamp <= told.until"
    " UNION ALL SELECT 1 FROM new WHERE id NOT IN (SELECT id FROM asked)"
    " UNION ALL SELECT 1 FROM kept JOIN new ON kept.key = new.key AND kept.until >= new.timestamp"
)


def _touched(
    home: Home,
    model: str,
    fresh: Collection[str],
    start: datetime,
    end: datetime,
    *,
    beyond: str,
    older: Collection[str] = (),
) -> tuple[list[datetime], bool]:
    """Of predictions from `start` on; and whether `beyond` finds anything. `older`: further files of outcomes to look into."""
    every = relation("predictions", lake_files(home, "predictions", model, date_of(start)), features=False)
    told_since = {*lake_files(home, "outcomes", model, date_of(start - OUTCOME_SLACK)), *older}
    known = sorted(told_since - set(fresh))
    told, new = _news(home, "outcomes", model, fresh), _news(home, "predictions", model, fresh)
    until = "coalesce(timestamp, TIMESTAMPTZ 'infinity') AS until"
    found = query(
        f"WITH told AS MATERIALIZED (SELECT id, key, {until} FROM {told}),"
        f" new AS MATERIALIZED (SELECT id, key, timestamp FROM {new} WHERE role = 'live'),"
        f" kept AS MATERIALIZED (SELECT key, {until} FROM {relation('outcomes', known)}"
        " WHERE id IS NULL AND key IN (SELECT key FROM new)),"
        f" asked AS MATERIALIZED (SELECT id, key, timestamp FROM {every} WHERE role = 'live'"
        f" AND timestamp >= {time_of(start)})"
        " SELECT DISTINCT date_trunc('minute', timestamp) AS answered FROM asked"
        f" WHERE timestamp < {time_of(end)}"
        " AND (id IN (SELECT id FROM told WHERE id IS NOT NULL) OR key IN (SELECT key FROM told WHERE key IS NOT NULL)"
        " OR key IN (SELECT key FROM kept) OR id IN (SELECT id FROM new))"
        f" UNION ALL (SELECT NULL FROM ({beyond}) LIMIT 1) ORDER BY answered"
    )
    times: list[datetime | None] = found["answered"].to_pylist()
    return [at for at in times if at is not None], None in times


def too_late(home: Home, model: str, fresh: Collection[str], before: datetime) -> int:
    """How many predictions from before `before` the outcomes in the lake's files `fresh` are about, by id."""
    with steady(home):
        earlier = relation("predictions", lake_files(home, "predictions", model, None, date_of(before)), features=False)
        found = query(
            f"SELECT count(DISTINCT id) AS n FROM {earlier} WHERE role = 'live' AND timestamp < {time_of(before)}"
            f" AND id IN (SELECT id FROM {_news(home, 'outcomes', model, fresh)} WHERE id IS NOT NULL)"
        )
    return int(found["n"][0].as_py())


def _news(home: Home, kind: Kind, model: str, fresh: Collection[str]) -> str:
    """SQL for the rows of those files of a kind that are among `fresh`."""
    folder = f"{model_folder(home, kind, model)}/"
    files = [file for file in sorted(fresh) if file.startswith(folder) and Path(file).exists()]
    return relation(kind, files, features=False)

"""When an alert about windows ends: when two in a row are calm, so that what flaps is one episode."""

from __future__ import annotations

from flyball.store import Database

#: windows in a row.
CALM = 2


def calm(database: Database, model: str, kind: str, verdicts: tuple[str, ...]) -> bool:
    """Whether the newest CALM windows of a kind that could be judged all have one of these verdicts."""
    rows = database.all(
        'SELECT verdict FROM "window" WHERE model = :model AND kind = :kind AND mature = 1'
        " AND verdict NOT IN ('cannot_judge', 'immature') ORDER BY start DESC LIMIT :calm",
        model=model,
        kind=kind,
        calm=CALM,
    )
    return bool(rows) and all(row["verdict"] in verdicts for row in rows)

"""What goes with an alert, so that who is called at night need not look it up: what answers, what could, how it did."""

from __future__ import annotations

from typing import Any

import orjson

from flyball.rollout.move import rollback_target
from flyball.store import Transaction

#: days of a metric that go with an alert.
RECENT_DAYS = 14


def context_of(tx: Transaction, model: str, metric: str | None) -> dict[str, Any]:
    """What answers, since when and by whom, what a rollback would put back and how; the last days of `metric`."""
    found: dict[str, Any] = {}
    moves = [
        (orjson.loads(row["record"])["live"], row)
        for row in tx.all(
            "SELECT record, at, who, why FROM deployment WHERE model = :model ORDER BY generation DESC LIMIT 200",
            model=model,
        )
    ]
    if moves:
        serving = moves[0][0]
        since = next((index for index, (number, _) in enumerate(moves) if number != serving), len(moves)) - 1
        move = moves[since][1]
        found |= {"live": serving, "since": move["at"], "who": move["who"], "why": move["why"]}
        if (before := rollback_target(tx, model)) is not None:
            found |= {"before": before, "rollback": f"flyball rollback {model}"}
    if metric and (values := _recent(tx, model, metric)):
        found["recent"] = {"metric": metric, "values": values}
    return found


def _recent(tx: Transaction, model: str, metric: str) -> list[float]:
    """A value a day, oldest first: of all rows with labels that the live version answered, of two the one of more rows."""
    rows = tx.all(
        "SELECT date, value FROM metrics_daily WHERE model = :model AND metric = :metric AND variant = 'live'"
        " AND slice = '' AND basis = 'label' AND value IS NOT NULL ORDER BY date DESC, rows, version LIMIT :most",
        model=model,
        metric=metric,
        most=2 * RECENT_DAYS,
    )
    days = {row["date"]: float(row["value"]) for row in rows}
    return list(days.values())[:RECENT_DAYS][::-1]

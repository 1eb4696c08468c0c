"""Daily performance as a person reads it: by version, variant and slice, mature or not, with the estimate where labels lack."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.store import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceRow:
    """One metric of one version's rows in one window."""

    #: the window's name: a date, or the first minute of a shorter window.
    day: str
    version: int
    variant: str
    #: `origin=LGA`; "" = every row.
    slice: str
    metric: str
    #: measured; None where labels lack. Ends of the interval are None where they cannot be known.
    value: float | None
    low: float | None
    high: float | None
    #: rows that the value rests on, and rows answered (None: written before these were counted).
    labels: int
    answered: int | None
    #: False: labels may still come.
    mature: bool
    #: the same without labels: it cannot see concept drift.
    estimated: float | None
    estimated_low: float | None
    estimated_high: float | None


_ROWS = """
SELECT day.date AS day, day.version, day.variant, day.slice, day.metric,
  told.value, told.low, told.high, coalesce(told.rows, 0) AS labels, coalesce(told.answered, guess.answered) AS answered,
  coalesce(told.mature, 0) AS mature, guess.value AS estimated, guess.low AS estimated_low, guess.high AS estimated_high
FROM (SELECT DISTINCT model, date, version, variant, slice, metric FROM metrics_daily
      WHERE model = :model AND (basis = 'outcome' OR :metric IS NULL OR metric = :metric)) AS day
LEFT JOIN metrics_daily AS told ON told.basis <> 'estimate' AND told.model = day.model AND told.date = day.date
  AND told.version = day.version AND told.variant = day.variant AND told.slice = day.slice AND told.metric = day.metric
LEFT JOIN metrics_daily AS guess ON guess.basis = 'estimate' AND guess.model = day.model AND guess.date = day.date
  AND guess.version = day.version AND guess.variant = day.variant AND guess.slice = day.slice AND guess.metric = day.metric
ORDER BY day.date DESC, day.version DESC, day.variant, day.slice, day.metric LIMIT :limit
"""


def performance_rows(
    database: Database, model: str, *, metric: str | None = None, limit: int = 100
) -> tuple[PerformanceRow, ...]:
    """Newest windows first; of `metric` (None: all), and of every other declared outcome."""
    rows = database.all(_ROWS, model=model, metric=metric, limit=limit)
    return tuple(PerformanceRow(**{**dict(row), "mature": bool(row["mature"])}) for row in rows)

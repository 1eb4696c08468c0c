"""A value with its interval: the record every statistic that can be wrong answers with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its interval, on n rows."""

    value: float
    low: float
    high: float
    rows: int

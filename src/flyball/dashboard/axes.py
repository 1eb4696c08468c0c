"""Scales and ticks of the charts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from flyball.dashboard.records import DayMetric


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of [low, high] onto [first, last]; a range of no width maps to the middle."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.first + self.last) / 2
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def value_range(days: Sequence[DayMetric]) -> tuple[float, float]:
    """All values, and the intervals but for the widest fiftieth at each end: one day of few rows must not flatten a year."""
    values = [item.value for item in days]
    lows = sorted(item.low for item in days if item.low is not None)
    highs = sorted(item.high for item in days if item.high is not None)
    low = min([*values, *lows[len(lows) // 50 : len(lows) // 50 + 1]], default=0.0)
    high = max([*values, *highs[-(len(highs) // 50) - 1 :][:1]], default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers 1, 2 or 5 times a power of ten apart, within [low, high].

    >>> nice_ticks(0.61, 0.78, 4)
    [0.65, 0.7, 0.75]
    """
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= raw * 0.999999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)] or [low, high]


def month_ticks(first: date, last: date) -> list[tuple[date, str]]:
    """Where the time axis is labelled: months, with the year at its start; days in under two months; years beyond three."""
    span = (last - first).days
    if span <= 60:
        step = max(1, round(span / 6))
        days = [first + timedelta(days=offset) for offset in range(0, span + 1, step)]
        return [(day, f"{day:%b} {day.day}") for day in days]
    months = [day for day in _months(first, last) if span <= 3 * 366 or day.month == 1]
    return [(day, _named(day, place)) for place, day in enumerate(months)]


def _months(first: date, last: date) -> list[date]:
    """Every first of a month within [first, last]."""
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    days = [date(number // 12, number % 12 + 1, 1) for number in numbers]
    return [day for day in days if day >= first]


def _named(day: date, place: int) -> str:
    return f"{day:%b %Y}" if place == 0 or day.month == 1 else f"{day:%b}"

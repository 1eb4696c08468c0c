"""The stated rate of false alarms, by simulation: quiet days that must stay quiet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.counting import profile_window
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import Reference

Columns = dict[str, npt.NDArray[Any]]
RNG = np.random.Generator

FEATURES = 16
DAYS = 60
ROWS = 1_000


def numbers(rng: RNG, *, rows: int = ROWS, day_sd: float = 0.0, hours: bool = False) -> Columns:
    """A day of 16 numbers; each day moves each of them by day_sd, and with `hours` rows of an hour share one value."""
    columns = {}
    for index in range(FEATURES):
        values = np.repeat(rng.normal(size=25), 40) if hours else rng.normal(size=rows)
        columns[f"f{index:02d}"] = values + day_sd * rng.normal()
    return columns


def learn(days: list[Columns], *, by_day: bool = True) -> Reference:
    columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    kinds = {name: "category" if values.dtype == object else "number" for name, values in columns.items()}
    sizes = [len(next(iter(day.values()))) for day in days]
    return fit_reference(columns, kinds, np.repeat(np.arange(len(days)), sizes) if by_day else None)


def verdict_on(reference: Reference, day: Columns, **settings: Any) -> DriftVerdict:
    return judge(reference, profile_window(reference, day), **{"false_alarms": 0.01, **settings})


def alarm_rate(make_day: Callable[[RNG], Columns], *, by_day: bool = True) -> float:
    """Share of 300 quiet days that alarm, over two references."""
    rng = np.random.default_rng(11)
    alarms = []
    for _ in range(2):
        reference = learn([make_day(rng) for _ in range(DAYS)], by_day=by_day)
        alarms += [verdict_on(reference, make_day(rng)).verdict == "drift" for _ in range(150)]
    return float(np.mean(alarms))


@pytest.mark.slow
def test_forty_quiet_days_are_steady() -> None:
    """With day effects, stated 1 %: more than two alarms have a chance of 1 in 100."""
    rng = np.random.default_rng(11)
    reference = learn([numbers(rng, day_sd=0.1) for _ in range(DAYS)])
    alarms = [verdict_on(reference, numbers(rng, day_sd=0.1)).verdict == "drift" for _ in range(40)]
    assert sum(alarms) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("day_sd", [0, 0.05, 0.1, 0.2])
def test_quiet_days_alarm_at_about_the_stated_rate(day_sd: float) -> None:
    """Stated 1 % of days: 300 days give at most 3 % (1 % + 3.5 standard errors), with and without day effects."""
    assert alarm_rate(lambda rng: numbers(rng, day_sd=day_sd)) <= 0.03


@pytest.mark.slow
def test_days_of_uneven_size_alarm_no_more_often() -> None:
    """200 to 1,500 rows: small windows are noisier, and their limits wider."""
    assert alarm_rate(lambda rng: numbers(rng, rows=int(rng.integers(200, 1_500)), day_sd=0.05)) <= 0.03


@pytest.mark.slow
def test_without_days_the_theory_for_independent_rows_holds_the_rate() -> None:
    """Chi-square, normal and arcsine limits."""
    assert alarm_rate(numbers, by_day=False) <= 0.03


@pytest.mark.slow
def test_values_shared_by_the_rows_of_an_hour_do_not_alarm() -> None:
    """25 weather readings a day under 1,000 rows: an iid test alarms every day, days as the sample do not."""

    def day(rng: RNG) -> Columns:
        return numbers(rng, day_sd=1, hours=True)

    assert alarm_rate(day) <= 0.05

"""Real rows that are not independent: the flights of New York, whose days share weather, schedule and weekday."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.monitoring.quiet import STATED
from flyball.demo.data import CATEGORIES, FEATURES, WEATHER, flights
from flyball.stats.counting import profile_window
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import Reference

FOLDS = 5
#: The days in which nothing but chance and weather changed, and the last day of the test.
QUIET_UNTIL, LAST = "2013-03-14", "2013-06-30"
SCHEDULE = ("carrier", "origin", "dest", "distance")


def learned(table: pd.DataFrame, days: list[str]) -> Reference:
    known = table[table["day"].isin(days)]
    kinds = {name: "category" if name in CATEGORIES else "number" for name in FEATURES}
    return fit_reference({name: known[name].to_numpy() for name in FEATURES}, kinds, pd.factorize(known["day"])[0])


def verdicts(table: pd.DataFrame, reference: Reference, days: list[str]) -> Iterator[tuple[str, DriftVerdict]]:
    for day in days:
        rows = table[table["day"] == day]
        window = profile_window(reference, {name: rows[name].to_numpy() for name in FEATURES})
        yield day, judge(reference, window, false_alarms=STATED)


def cross_fitted(table: pd.DataFrame, days: list[str]) -> list[tuple[str, DriftVerdict]]:
    """Every day against the other four fifths of the days; folds are interleaved, so that no season is left out."""
    found = []
    for fold in range(FOLDS):
        held_out = days[fold::FOLDS]
        reference = learned(table, [day for day in days if day not in held_out])
        found += list(verdicts(table, reference, held_out))
    return sorted(found, key=lambda item: item[0])


def table() -> Iterator[str]:
    rows = flights()
    everyone = sorted(rows["day"].unique())
    quiet = [day for day in everyone if day <= QUIET_UNTIL]
    later = [day for day in everyone if QUIET_UNTIL < day <= LAST]
    crossed = cross_fitted(rows, quiet)
    names = Counter(name for _, verdict in crossed for name in verdict.alarming)
    # Three standard errors above the stated share of days.
    most = round(STATED * len(quiet) + 3 * float(np.sqrt(STATED * len(quiet))))
    yield "## Flights, 1 January to 14 March, cross-fitted"
    yield "Each day against the other four fifths of these 73 days; stated: 1 alarm in 100 days over all 16 features."
    yield ""
    yield "| features | days | days that alarm | at most | |"
    yield "|---|---|---|---|---|"
    for told, among in (("all 16", FEATURES), (", ".join(SCHEDULE), SCHEDULE), ("the nine of the weather", WEATHER)):
        alarms = sum(bool(set(verdict.alarming) & set(among)) for _, verdict in crossed)
        yield f"| {told} | {len(quiet)} | {alarms} | {most} | {'met' if alarms <= most else '**not met**'} |"
    yield ""
    yield f"Alarming: {', '.join(f'{name} {count}' for name, count in names.most_common()) or 'none'}."
    yield ""
    reference = learned(rows, quiet)
    first = {}
    alarms = 0
    for day, verdict in verdicts(rows, reference, later):
        alarms += verdict.verdict == "drift"
        for name in verdict.alarming:
            first.setdefault(name, day)
    yield f"Then learned from all of them, 15 March to 30 June: {alarms} of {len(later)} days alarm."
    weather = {name: day for name, day in first.items() if name in WEATHER}
    told = ", ".join(f"{name} from {day}" for name, day in sorted(weather.items(), key=lambda item: item[1]))
    yield f"Weather alarms by the end of June ({'met' if weather else '**not met**'}): {told}."
    rest = ", ".join(f"{name} from {day}" for name, day in first.items() if name not in WEATHER)
    yield f"Of the others: {rest or 'none'}."

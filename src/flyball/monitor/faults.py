"""Is a drifted feature the world's doing, or a fault of whoever fills it in? Pure.

Looked for only in features that alarm, so that broken data never cry more often than `[monitor] false_alarms` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from flyball.stats.bins import as_levels, as_numbers
from flyball.stats.changes import MIN_SHARE
from flyball.stats.drift import DriftVerdict, FeatureVerdict, SliceVerdict
from flyball.stats.feature import MIN_ROWS
from flyball.stats.profile import FeatureReference, Reference
from flyball.stats.quiet import MIN_BLOCK_ROWS, MIN_BLOCKS

Fault = Literal["schema", "nulls", "frozen", "unit", "new_category"]

#: A feature that is missing in this share of rows has left the schema.
GONE = 0.999
#: Factors between units that people confuse: thousands, percents, minutes and hours, seconds a day, months, dozens.
UNITS = (10.0, 12.0, 24.0, 60.0, 100.0, 1e3, 3_600.0, 86_400.0, 1e6, 1e9)
#: How far the spread of values may be from that of training, once the factor is taken out, as a factor itself;
SPREAD = 2.0
#: and their median, in interquartile ranges of training. Days of one training set differ by that much, seasons do.
MIDDLE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One feature that is filled in wrongly."""

    feature: str
    fault: Fault
    #: one clause: "x1 is missing in 40.0% of rows, usually 0.1%".
    why: str


def broken(
    reference: Reference, columns: Mapping[str, npt.ArrayLike], verdict: DriftVerdict | SliceVerdict
) -> tuple[Broken, ...]:
    """What is broken among the features that alarm in `verdict`, strongest alarm first; at most one fault a feature.

    `columns`: feature -> the window's values, shape (n,), as `stats.counting.profile_window` takes them; of a slice's verdict
    its rows, and `reference` is the slice's. A change of unit by less than a factor of ten (miles, degrees) cannot be told
    from a season and is left to be drift.
    """
    judged = {item.feature: item for item in verdict.features}
    return tuple(
        found
        for name in verdict.alarming
        if name in columns and (found := _fault(reference.features[name], columns[name], judged[name])) is not None
    )


def _fault(known: FeatureReference, column: npt.ArrayLike, judged: FeatureVerdict) -> Broken | None:
    found = next(_faults(known, column, judged), None)
    return None if found is None else Broken(feature=known.name, fault=found[0], why=f"{known.name} {found[1]}")


def _faults(known: FeatureReference, column: npt.ArrayLike, judged: FeatureVerdict) -> Iterator[tuple[Fault, str]]:
    missing = judged.statistics.get("missing")
    if missing is not None and missing.alarm and missing.effect > 0:
        if missing.value >= GONE:
            yield "schema", "has left the rows: it is missing in all of them"
        yield "nulls", f"is missing in {missing.value:.1%} of rows, usually {missing.null_mean:.1%}"
    if known.bins.kind == "number":
        values = as_numbers(column)
        values = values[np.isfinite(values)]
        if len(values) >= MIN_ROWS:
            yield from _frozen(known, str(values[0]), len(np.unique(values)))
            yield from _unit(known, values)
        return
    levels = [level for level in as_levels(column) if level]
    if len(levels) >= MIN_ROWS:
        yield from _frozen(known, levels[0], len(set(levels)))
        yield from _new_category(known, levels)


def _frozen(known: FeatureReference, value: str, distinct: int) -> Iterator[tuple[Fault, str]]:
    """One value all through the window, where no day of training stood still."""
    counts = known.tally.counts
    rows = counts.sum(axis=1)
    days = counts[rows >= MIN_BLOCK_ROWS]
    stood_still = len(days) > 0 and bool((days.max(axis=1) >= GONE * days.sum(axis=1)).any())
    if distinct == 1 and not stood_still:
        yield "frozen", f"stands still at {value}"


def _unit(known: FeatureReference, values: npt.NDArray[np.float32]) -> Iterator[tuple[Fault, str]]:
    """Values that are those of training times a factor between units: both their spread and their middle say so."""
    usual, usual_middle = _spread_and_middle(known.tally.total().counts[0], known.bins.edges)
    low, middle, high = np.quantile(values.astype(np.float64), (0.25, 0.5, 0.75))
    if usual <= 0 or high <= low or _as_days_are(known, float(high - low)):
        return
    ratio = (high - low) / usual
    for factor in sorted((*UNITS, *(1 / unit for unit in UNITS)), key=lambda unit: abs(np.log(ratio / unit))):
        spread_fits = 1 / SPREAD <= ratio / factor <= SPREAD
        if spread_fits and abs(middle / factor - usual_middle) <= MIDDLE * usual:
            text = f"{factor:g} times" if factor > 1 else f"a {1 / factor:g}th of"
            yield "unit", f"is about {text} what it was in training: another unit"
            return


def _as_days_are(known: FeatureReference, spread: float) -> bool:
    """Whether a day of training was spread like that: a day's weather is never spread as a year's is."""
    counts = known.tally.counts[1:]
    days = [row for row in counts if row.sum() >= MIN_BLOCK_ROWS]
    if len(days) < MIN_BLOCKS:
        return False
    spreads = [_spread_and_middle(row, known.bins.edges)[0] for row in days]
    return min(spreads) / SPREAD <= spread <= max(spreads) * SPREAD


def _spread_and_middle(counts: npt.NDArray[np.int64], edges: tuple[float, ...]) -> tuple[float, float]:
    """Interquartile range and median of counted values, straight within a bin; what lies beyond the edges is left out.

    The range is 0 where half of the values are one.
    """
    inside = counts[1:-1]
    if len(inside) < 2 or inside.sum() == 0:
        return 0.0, 0.0
    reached = np.concatenate([[0.0], np.cumsum(inside) / inside.sum()])
    low, middle, high = np.interp((0.25, 0.5, 0.75), reached, np.asarray(edges, dtype=np.float64))
    return float(high - low), float(middle)


def _new_category(known: FeatureReference, levels: list[str]) -> Iterator[tuple[Fault, str]]:
    if known.bins.others is None:  # too many levels to name them: nobody can tell a new one
        return
    seen = {*known.bins.levels, *known.bins.others}
    new = [level for level in levels if level not in seen]
    if len(new) >= MIN_SHARE * len(levels):
        names = sorted(set(new))
        shown = ", ".join(repr(name) for name in names[:3]) + (" and more" if len(names) > 3 else "")
        yield "new_category", f"has {shown} in {len(new) / len(levels):.1%} of rows, which training never saw"

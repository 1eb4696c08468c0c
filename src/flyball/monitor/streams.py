"""Where a stream of errors changed: river's ADWIN, and Page-Hinkley, over a version's mature rows, in event order.

Both take rows for independent, and a day's rows are not: each change they find is tested again with the days' own spread,
and counts only if it holds. No state is kept between windows: the stream is read from the lake again, so a restart, a
correction or a backfill gives what would have been.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from flyball.errors import Unavailable
from flyball.stats.page_hinkley import rises

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Detector = Literal["adwin", "page_hinkley"]

NEEDS_RIVER = "errors are not followed row by row: river is not installed; pip install 'flyball[streams]'"

#: days before a change from which it can be confirmed, and rows after it.
LEAST_DAYS = 5
LEAST_ROWS = 30
#: a change of the mean error by a smaller share of what it was does not matter.
SMALLEST_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The mean error moved."""

    detector: Detector
    #: event time of the row at which it was noticed.
    at: datetime
    #: mean error before the change, and from it on.
    before: float
    after: float
    #: whether it is a rise beyond the spread of days, and large enough to matter.
    confirmed: bool

    def __str__(self) -> str:
        name = {"adwin": "ADWIN", "page_hinkley": "Page-Hinkley"}[self.detector]
        return f"{name}: mean error {self.before:.3g} to {self.after:.3g} at {self.at:%Y-%m-%d %H:%M}Z"


def errors_of(task: str, y: Floats, score: Floats) -> Floats:
    """Each row's error in [0, 1], shape (n,): squared for a probability, 0 or 1 for a class, for a value the absolute error
    as a share of eight times the median's, cut at 1: the detectors ask for bounds.
    """
    if task == "binary":
        return np.asarray((y - score) ** 2)
    if task == "multiclass":
        return np.asarray(score.argmax(axis=1) != y, dtype=np.float64)
    apart = np.abs(y - score)
    scale = 8 * float(np.median(apart)) if len(apart) else 0.0
    return np.minimum(apart / scale, 1.0) if scale else np.zeros(len(apart))


def changes(
    errors: Floats, times: npt.NDArray[np.datetime64], days: Ints, since: datetime, *, false_alarms: float
) -> tuple[Change, ...]:
    """Changes that were noticed at or after `since`, at most the newest of each detector.

    `errors`, `times`, `days`: shape (n,), in event order; a day's rows move together. `false_alarms`: level of each
    confirmation. Raises Unavailable where river is not installed.
    """
    first = np.datetime64(since.replace(tzinfo=None), "us")
    found = []
    noticed: dict[Detector, list[tuple[int, int]]] = {
        "adwin": list(_adwin(errors)),
        "page_hinkley": [(row, row) for row in rises(errors)],  # it does not say since when
    }
    for name, pairs in noticed.items():
        late = [pair for pair in pairs if times[pair[0]] >= first]
        if late:
            index, start = late[-1]
            found.append(_change(name, errors, times, days, index, start, false_alarms))
    return tuple(found)


def warm() -> None:
    """Import what follows streams ahead of its first use, where it is there: it takes a second."""
    with suppress(Unavailable):
        list(_adwin(np.zeros(1)))


def _adwin(errors: Floats) -> Iterator[tuple[int, int]]:
    """(row at which a change was noticed, row from which on it is thought to be), by ADWIN with river's own defaults."""
    try:
        from river.drift import ADWIN  # an extra, and slow to import
    except ImportError as error:
        raise Unavailable(NEEDS_RIVER) from error
    made: Any = ADWIN
    detector, began = made(), 0
    for index, value in enumerate(errors.tolist()):
        detector.update(value)
        if detector.drift_detected:
            width = int(detector.width)
            start = index + 1 - width if 0 < width <= index - began else index
            yield index, start
            began = start


def _change(
    name: Detector,
    errors: Floats,
    times: npt.NDArray[np.datetime64],
    days: Ints,
    index: int,
    start: int,
    false_alarms: float,
) -> Change:
    at: datetime = times[index].astype("datetime64[us]").item()
    before, after = errors[:start], errors[start:]
    return Change(
        detector=name,
        at=at.replace(tzinfo=UTC),
        before=float(before.mean()) if len(before) else float("nan"),
        after=float(after.mean()) if len(after) else float("nan"),
        confirmed=_confirmed(before, after, days[:start], days[start:], false_alarms),
    )


def _confirmed(before: Floats, after: Floats, days_before: Ints, days_after: Ints, false_alarms: float) -> bool:
    """A rise beyond what days differ by: variance between the days before added to the rows' own, Student's t."""
    if len(days_after):  # the day in which it was noticed may hold the change on both sides
        whole = days_before < days_after[0]
        before, days_before = before[whole], days_before[whole]
    _, place, rows = np.unique(days_before, return_inverse=True, return_counts=True)
    if len(rows) < LEAST_DAYS or len(after) < LEAST_ROWS:
        return False
    means = np.bincount(place, weights=before) / rows
    own = before.var(ddof=1)
    between = max(float(means.var(ddof=1) - (own / rows).mean()), 0.0)
    error = np.sqrt(
        own / len(before) + after.var(ddof=1) / len(after) + between * (1 / len(rows) + 1 / len(np.unique(days_after)))
    )
    rise = float(after.mean() - before.mean())
    return bool(rise > stdtrit(len(rows) - 1, 1 - false_alarms) * error and rise > SMALLEST_SHARE * before.mean())

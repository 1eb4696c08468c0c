"""The stretches of time that the reference is cut into, and which of them lie in the day and the week as a window does. Pure.

Windows of a day or more are held against days, local ones. A shorter window is held against stretches cut as windows are,
at multiples of their length since 1970, UTC, and of those only against the ones at its own time of day: what a night is
like says nothing about a noon.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

HOUR_S = 3_600
DAY_S = 86_400
#: Hours that a day can be cut into evenly.
_EVEN_HOURS = (12, 8, 6, 4, 3, 2, 1)
#: Day 0 is 1 January 1970, a Thursday; Monday is 0.
_THURSDAY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How rows with a time are cut into blocks."""

    #: a day, or an even part of one.
    block_s: int = DAY_S
    #: whose midnights and weekdays count, for example "America/New_York".
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a window lies in the day and the week, and where the reference's blocks do."""

    #: of each block, whether it lies at the window's time of day. None: all serve, and rows of no block too.
    hours: tuple[bool, ...] | None = None
    #: each block's weekday, and the window's; Monday is 0. None: not known, or the window has several.
    weekdays: tuple[int, ...] | None = None
    weekday: int | None = None


#: Of a window whose time is not known, or a reference's.
ANYWHERE = Place()


def cut_for(window_s: float, timezone: str) -> Cut:
    """How a reference is cut that windows of `window_s` seconds are held against: evenly, into blocks no longer than these,
    but of an hour at least.
    """
    if window_s >= DAY_S:
        return Cut(timezone=timezone)
    hours = next((hours for hours in _EVEN_HOURS if hours * HOUR_S <= window_s), 1)
    return Cut(block_s=hours * HOUR_S, timezone=timezone)


def block_numbers(times: Ints, local: Ints, cut: Cut) -> Ints:
    """The block of every row. `times`: microseconds since 1970, UTC; `local`: the same on the zone's clocks; shape (n,)."""
    if cut.block_s == DAY_S:
        return local // (DAY_S * 1_000_000)
    return times // (cut.block_s * 1_000_000)


def place_of(blocks: tuple[int, ...], cut: Cut | None, start: datetime, end: datetime) -> Place:
    """Where the window [start, end) lies among the reference's blocks. `cut` None: nobody knows when these were."""
    if cut is None or not blocks:
        return ANYWHERE
    zone, length_s = ZoneInfo(cut.timezone), (end - start).total_seconds()
    middle = start + timedelta(seconds=length_s / 2)
    # Days have 23 to 25 hours; beyond them a window has several weekdays.
    weekday = middle.astimezone(zone).weekday() if length_s <= 25 * HOUR_S else None
    if cut.block_s == DAY_S:
        return Place(weekdays=tuple((number + _THURSDAY) % 7 for number in blocks), weekday=weekday)
    if length_s >= 2 * cut.block_s:
        # Cut for shorter windows than this one is: its hours are several blocks'.
        return ANYWHERE
    a_day, place = DAY_S // cut.block_s, int(middle.timestamp() // cut.block_s)
    middles = (datetime.fromtimestamp((number + 0.5) * cut.block_s, UTC) for number in blocks)
    return Place(
        hours=tuple((number - place) % a_day == 0 for number in blocks),
        weekdays=tuple(one.astimezone(zone).weekday() for one in middles),
        weekday=weekday,
    )

"""What one feature of a window is held against: the reference's rows that are like it, and how its days stray from these. Pure.

Days are compared with all other days, or, where the reference's weekdays differ, with the other days of the same weekday:
a Saturday with Saturdays. How far days stray from their own weekday is learned from all of them together, so that eight
weeks give sixty samples, not eight; that takes weekdays to stray alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from flyball.stats.blocks import Place
from flyball.stats.null import arcsine
from flyball.stats.tally import Ints, Tally

Floats = npt.NDArray[np.float64]
Against = Literal["all", "weekday", "hours", "hours and weekday"]

#: What was found of so many features is remembered: one window after the other is held against the same reference.
REMEMBERED = 1024
#: Fewer days than this, and rows are taken as independent ("iid").
MIN_BLOCKS = 10
#: A day with fewer rows than this, or than this share of the median day's, is no sample of a day.
MIN_BLOCK_ROWS = 10
MIN_BLOCK_SHARE = 0.25
#: Days of a weekday that stand for it.
MIN_ALIKE = 4
#: Share of the days' variance that their weekdays explain, above chance, from which on weekdays are told apart. By chance
#: a number's share is about 0, give or take 0.06, for 60 days.
WEEKDAYS_MATTER = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Days:
    """The reference's days as samples of a quiet one."""

    #: shape (k, ...).
    tally: Tally
    #: what each of them is compared with, (k, ...).
    rests: Tally
    #: shape (k,): each one's weekday; None where all days are alike.
    weekdays: Ints | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quiet:
    """What a window is held against."""

    #: of one block: the rows that the window is compared with.
    total: Tally
    #: None: too few, rows are taken as independent.
    days: Days | None
    #: the window's, where days of the same weekday are what it is compared with.
    weekday: int | None
    against: Against


def quiet_of(tally: Tally, place: Place, *, values: bool) -> Quiet:
    """`tally`: first the rows of no kept block, then the blocks. `values`: rows with one are looked at, else all rows."""
    total, everyday = _all_days(tally, place.hours, values=values)
    hours = place.hours is not None
    if everyday is not None and place.weekdays is not None and place.weekday is not None:
        week = _by_weekday(tally, place.hours, place.weekdays, values=values)
        if week is not None and (its_own := week[1].get(place.weekday)) is not None:
            against: Against = "hours and weekday" if hours else "weekday"
            return Quiet(total=its_own, days=week[0], weekday=place.weekday, against=against)
    return Quiet(total=total, days=everyday, weekday=None, against="hours" if hours else "all")


def centred(values: Floats, noise: Floats, days: Days, weekday: int | None) -> tuple[Floats, Floats, float]:
    """Days' `values` less the mean of the other days of their weekday, their sampling variances `noise` then, and what is to
    be taken off the value of a window on `weekday`. Where all days are alike nothing is.
    """
    if days.weekdays is None:
        return values, noise, 0.0
    names, where, count = np.unique(days.weekdays, return_inverse=True, return_counts=True)
    means = np.bincount(where, values) / count
    # A day less the mean of the others is k / (k - 1) times the day less the mean of all.
    more = (count / (count - 1))[where]
    return (values - means[where]) * more, noise * more, float(means[names == weekday][0])


Hours = tuple[bool, ...] | None


@lru_cache(maxsize=REMEMBERED)
def _all_days(tally: Tally, hours: Hours, *, values: bool) -> tuple[Tally, Days | None]:
    """All rows of these hours, as one block, and the days with as many rows as it takes; None where these are too few."""
    blocks = _blocks(tally, hours)
    days = blocks.at(_usable(blocks, values=values))
    total = tally.total() if hours is None else blocks.total()
    if len(days.missing) < MIN_BLOCKS:
        return total, None
    return total, Days(tally=days, rests=total - days, weekdays=None)


@lru_cache(maxsize=REMEMBERED)
def _by_weekday(
    tally: Tally, hours: Hours, weekday_of: tuple[int, ...], *, values: bool
) -> tuple[Days, dict[int, Tally]] | None:
    """The days, each compared with those of its weekday, and a weekday's days as one block, for those that are often enough;
    None where too few are, or weekdays do not matter.
    """
    blocks, weekdays = _blocks(tally, hours), np.array(weekday_of, dtype=np.int64)
    if hours is not None:
        weekdays = weekdays[np.array(hours, dtype=np.bool_)]
    usable = _usable(blocks, values=values)
    days, weekdays = blocks.at(usable), weekdays[usable]
    often = np.bincount(weekdays, minlength=7) >= MIN_ALIKE
    kept: npt.NDArray[np.bool_] = often[weekdays]
    if kept.sum() < MIN_BLOCKS:
        return None
    days, weekdays = days.at(kept), weekdays[kept]
    points = _points(days.counts) if values else arcsine(days.missing, days.rows + days.missing)[:, None]
    if explained(points, weekdays) < WEEKDAYS_MATTER:
        return None
    same = (weekdays[:, None] == weekdays[None, :]).astype(np.int64)
    totals = days.each(lambda sums: same @ sums)
    alone = {number: days.at(np.asarray(weekdays == number)).total() for number in np.flatnonzero(often).tolist()}
    return Days(tally=days, rests=totals - days, weekdays=weekdays), alone


def _blocks(tally: Tally, hours: Hours) -> Tally:
    """The blocks of these hours, None: all of them."""
    blocks = tally.at(np.arange(1, len(tally.missing)))
    return blocks if hours is None else blocks.at(np.array(hours, dtype=np.bool_))


def _usable(blocks: Tally, *, values: bool) -> npt.NDArray[np.bool_]:
    """Which blocks can serve as samples by their rows."""
    rows = blocks.rows if values else blocks.rows + blocks.missing
    if len(rows) == 0:
        return np.zeros(0, dtype=np.bool_)
    enough: npt.NDArray[np.bool_] = rows >= max(MIN_BLOCK_ROWS, MIN_BLOCK_SHARE * float(np.median(rows)))
    return enough


def _points(counts: Ints) -> Floats:
    """Roots of shares, shape (k, bins): sampling noise has one size there, whatever the share (Hellinger's distance)."""
    points: Floats = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    return points


def explained(points: Floats, groups: Ints) -> float:
    """Share of the points' variance that their groups explain, above what chance would: adjusted R squared, below 1.

    Points of shape (k, d); squares of all d coordinates are added up (Anderson 2001, doi:10.1111/j.1442-9993.2001.01070.pp.x).
    """
    names, where, count = np.unique(groups, return_inverse=True, return_counts=True)
    k, g = len(points), len(names)
    if k <= g or g < 2:
        return 0.0
    means = np.stack([np.bincount(where, axis) / count for axis in points.T], axis=1)
    within = float(((points - means[where]) ** 2).sum()) / (k - g)
    overall = float(((points - points.mean(axis=0)) ** 2).sum()) / (k - 1)
    return 1 - within / overall if overall > 0 else 0.0

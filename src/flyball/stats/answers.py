"""The rows that metrics are computed on: checked once, and sorted at most once, however many metrics are asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from flyball.errors import Mistake
from flyball.stats.names import METRIC_NAMES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: bins that calibration is judged in, and the rows that a bin has at least.
BINS = 15
LEAST_ROWS = 10

#: rows from which sorting numbers is worth its set-up; bits of a row's number that leave a score enough of its own.
MANY = 10_000
MOST_ROW_BITS = 26

#: A binary score at or above it counts as a positive answer.
THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows by rising score; those of equal scores are one run."""

    #: shape (n,): the row at each rank.
    order: Ints
    #: shape (runs,): the rank at which each run starts, and how many rows it has.
    starts: Ints
    lengths: Ints

    @property
    def tied(self) -> bool:
        return len(self.starts) < len(self.order)

    def sums(self, values: Floats) -> Floats:
        """Of values by rank, shape (n,): the sum of each run."""
        return np.asarray(np.add.reduceat(values, self.starts), dtype=np.float64) if self.tied else values

    def by_rank(self, per_run: Floats) -> Floats:
        """Values of runs as values by rank."""
        return np.repeat(per_run, self.lengths) if self.tied else per_run

    def by_row(self, per_rank: Floats) -> Floats:
        """Values by rank as values of rows, in the rows' own order."""
        values = np.empty(len(self.order))
        values[self.order] = per_rank
        return values


@dataclass(frozen=True, eq=False)
class Answers:
    """One model's answers to n labelled rows; made by `answers_of`. n may be 0."""

    task: str
    #: shape (n,): 0 or 1, class index or value.
    y: Floats
    #: shape (n,): probability of class 1, or value; multiclass (n, classes).
    score: Floats

    @cached_property
    def ranking(self) -> Ranking:
        """Of binary answers; one sort."""
        return rank(self.score)

    @cached_property
    def ranked_y(self) -> Floats:
        """The labels by rank."""
        return self.y[self.ranking.order]

    @cached_property
    def positives_below(self) -> Floats:
        """Of each run of equal scores, shape (runs,): the positives below it, and half of its own."""
        positives = self.ranking.sums(self.ranked_y)
        below = np.cumsum(positives)
        below -= positives / 2
        return below

    @cached_property
    def negatives_below(self) -> Floats:
        """As `positives_below`."""
        return self.ranking.starts + self.ranking.lengths / 2 - self.positives_below

    @cached_property
    def precision_above(self) -> Floats:
        """Of each run of equal scores, shape (runs,): the precision of 'positive at or above this score'."""
        at_or_above = self.y.sum() - self.positives_below + self.ranking.sums(self.ranked_y) / 2
        return np.asarray(at_or_above / (len(self.y) - self.ranking.starts))

    @cached_property
    def truth(self) -> Ints:
        """The classes as indices."""
        return self.y.astype(np.int64)

    @cached_property
    def answer(self) -> Ints:
        """The answered classes: 0 or 1 by THRESHOLD; of several the most probable, the first among equals."""
        if self.task == "binary":
            return (self.score >= THRESHOLD).astype(np.int64)
        return np.asarray(self.score.argmax(axis=1), dtype=np.int64)

    @cached_property
    def confidence(self) -> Floats:
        """Of binary answers the probability of class 1; of several classes that of the answered one."""
        return self.score if self.task == "binary" else np.asarray(self.score.max(axis=1))

    @cached_property
    def bins(self) -> Ints:
        """Each row's bin by its confidence, shape (n,): bins of nearly as many rows, equal values in the same one."""
        return _quantile_bins(self.confidence, min(BINS, max(1, len(self.y) // LEAST_ROWS)))


def _quantile_bins(values: Floats, bins: int) -> Ints:
    """A value's bin is the one in which the middle of its equals lies by rank; so bins are cut at values, and only the
    cuts are looked for: sorting values costs a fifth of sorting rows.
    """
    rising, count = np.sort(values), len(values)
    wanted = -(-np.arange(1, bins) * count // bins)  # the first rank of each bin but the first
    first, past = (np.searchsorted(rising, rising[wanted], side=side) for side in ("left", "right"))
    middle = first + (past - first - 1) // 2
    cuts = np.append(rising, np.inf)[np.where(middle >= wanted, first, past)]
    return np.asarray(np.searchsorted(cuts, values, side="right"), dtype=np.int64)


def rank(score: Floats) -> Ranking:
    """By one sort, of numbers that hold the score's leading bits and then the row: these sort faster than rows do. Rows
    whose scores differ in the bits that were cut off alone are put right after. Equal scores keep the rows' order.
    """
    order, rising = _ordered(score)
    new = np.append(True, rising[1:] != rising[:-1])
    starts = np.flatnonzero(new)
    if len(starts) == len(order):
        return Ranking(order=order, starts=starts, lengths=np.ones(len(order), dtype=np.int64))
    return Ranking(order=order, starts=starts, lengths=np.diff(starts, append=len(order)))


def _ordered(score: Floats) -> tuple[Ints, Floats]:
    """The rows as `np.argsort(score, kind="stable")` has them, and their scores; no nan."""
    count = len(score)
    bits = max(count - 1, 1).bit_length()
    if count < MANY or bits > MOST_ROW_BITS:
        order = np.argsort(score, kind="stable")
        return order, score[order]
    keys = (score + 0.0).view(np.int64)  # + 0.0: minus zero is zero
    if score.min() < 0:
        keys ^= (keys >> 63) & np.int64(2**63 - 1)  # below zero floats fall as their bits rise
    keys >>= bits
    keys <<= bits
    keys |= np.arange(count)
    keys.sort()
    order = keys & ((1 << bits) - 1)
    rising = score[order]
    if (rising[1:] < rising[:-1]).any():
        order = _put_right(order, keys >> bits, score)
        rising = score[order]
    return order, rising


def _put_right(order: Ints, keys: Ints, score: Floats) -> Ints:
    """Sort within the runs of equal `keys`, by score and then by row."""
    same = keys[1:] == keys[:-1]
    places = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = order[places]
    order[places] = rows[np.lexsort((rows, score[rows], keys[places]))]
    return order


def answers_of(task: str, y: npt.ArrayLike, score: npt.ArrayLike) -> Answers:
    """`y` and `score` as float64, fit for every metric of `task`. What is allowed: see `metrics.compute`."""
    if task not in METRIC_NAMES:
        raise Mistake(f"task {task!r} is not known; allowed: {', '.join(METRIC_NAMES)}")
    truth, answer = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
    dimensions = 2 if task == "multiclass" else 1
    if truth.ndim != 1 or answer.ndim != dimensions or len(truth) != len(answer):
        raise Mistake(
            f"task {task!r}: got labels of shape {truth.shape} and scores of shape {answer.shape}; "
            f"allowed: (n,) and {'(n, classes)' if dimensions == 2 else '(n,)'}"
        )
    for name, values in (("labels", truth), ("scores", answer)):
        finite = np.isfinite(values)
        if not finite.all():
            bad = len(truth) - int(finite.reshape(len(truth), -1).all(axis=1).sum())
            raise Mistake(f"task {task!r}: {bad} of {len(truth)} {name} are nan or infinite; leave such rows out first")
    if task != "regression" and len(truth):
        classes = answer.shape[1] if task == "multiclass" else 2
        if truth.min() < 0 or truth.max() >= classes or (truth != np.rint(truth)).any():
            raise Mistake(
                f"task {task!r}: labels run from {truth.min():g} to {truth.max():g}; "
                f"allowed: class indices 0 to {classes - 1}"
            )
    return Answers(task=task, y=truth, score=answer)


def require_metric(metric: str, task: str) -> None:
    """Raise Mistake where `task` has no such metric."""
    known = METRIC_NAMES.get(task, ())
    if known and metric not in known:
        raise Mistake(f"metric {metric!r} does not fit task {task!r}; allowed: {', '.join(known)}")

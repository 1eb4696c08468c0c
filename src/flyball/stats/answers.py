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
    def truth(self) -> Ints:
        """The classes as indices."""
        return self.y.astype(np.int64)

    @cached_property
    def answer(self) -> Ints:
        """The answered classes: 0 or 1 by THRESHOLD; of several the most probable, the first among equals."""
        if self.task == "binary":
            return (self.score >= THRESHOLD).astype(np.int64)
        return np.asarray(self.score.argmax(axis=1), dtype=np.int64)


def rank(score: Floats) -> Ranking:
    order = np.argsort(score)
    rising = score[order]
    starts = np.flatnonzero(np.concatenate(([True], rising[1:] != rising[:-1])))
    return Ranking(order=order, starts=starts, lengths=np.diff(starts, append=len(rising)))


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

"""Metrics of binary, multiclass and regression models as pure functions of (y, score).

Where a metric is undefined (no rows; one class only for auc) the answer is nan, never a made-up number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flyball.errors import Mistake

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Metric = Callable[[Floats, Floats], float]

#: A binary score at or above it counts as a positive answer.
THRESHOLD = 0.5

#: Probabilities are kept this far from 0 and 1 before taking logarithms, so that log loss stays finite (<= 36.04).
CLIP = float(np.finfo(np.float64).eps)


def compute(metric: str, task: str, y: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The metric's value on n rows; nan where it is undefined.

    `y` has shape (n,): 0 or 1 for binary, the class's index for multiclass, the value for regression. `score` has shape
    (n,): the probability of class 1, or the predicted value; for multiclass (n, classes): probabilities.
    Raises Mistake for an unknown metric, shapes that do not fit, labels that are no class, and nan or inf anywhere.
    """
    y, score = checked(metric, task, y, score)
    return METRICS[task][metric](y, score) if len(y) else float("nan")


def checked(metric: str, task: str, y: npt.ArrayLike, score: npt.ArrayLike) -> tuple[Floats, Floats]:
    """`y` and `score` as float64 arrays fit for `metric` of `task`, or Mistake. What is allowed: see `compute`."""
    known = METRICS.get(task)
    if known is None:
        raise Mistake(f"task {task!r} is not known; allowed: {', '.join(METRICS)}")
    if metric not in known:
        raise Mistake(f"metric {metric!r} does not fit task {task!r}; allowed: {', '.join(known)}")
    truth, answer = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
    dimensions = 2 if task == "multiclass" else 1
    if truth.ndim != 1 or answer.ndim != dimensions or len(truth) != len(answer):
        raise Mistake(
            f"metric {metric!r} of task {task!r}: got labels of shape {truth.shape} and scores of shape {answer.shape}; "
            f"allowed: (n,) and {'(n, classes)' if dimensions == 2 else '(n,)'}"
        )
    for name, values in (("labels", truth), ("scores", answer)):
        bad = len(truth) - int(np.isfinite(values).reshape(len(truth), -1).all(axis=1).sum()) if len(truth) else 0
        if bad:
            raise Mistake(
                f"metric {metric!r}: {bad} of {len(truth)} {name} are nan or infinite; leave such rows out first"
            )
    if task != "regression" and len(truth):
        classes = answer.shape[1] if task == "multiclass" else 2
        if truth.min() < 0 or truth.max() >= classes or (truth % 1).any():
            raise Mistake(
                f"metric {metric!r} of task {task!r}: labels run from {truth.min():g} to {truth.max():g}; "
                f"allowed: class indices 0 to {classes - 1}"
            )
    return truth, answer


def placements(y: Floats, score: Floats) -> Floats:
    """Per row, the share of the other class on its wrong side, ties half: of a positive the negatives below it, of a
    negative the positives above it. Shape (n,); both classes must occur. One sort, no matrix of pairs: O(n log n).
    """
    order = np.argsort(score)
    rising, positive = score[order], y[order]
    starts, lengths = runs(rising)
    positives = np.add.reduceat(positive, starts)
    negatives = lengths - positives
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    above = 1 - (np.cumsum(positives) - positives / 2) / positives.sum()
    result = np.empty(len(y))
    result[order] = np.where(positive == 1, np.repeat(below, lengths), np.repeat(above, lengths))
    return result


def runs(ordered: Floats) -> tuple[Ints, Ints]:
    """Where each run of equal values starts, and its length."""
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return starts, np.diff(starts, append=len(ordered))


def auc(y: Floats, score: Floats) -> float:
    """Area under the ROC curve = P(a positive scores above a negative) + half of the ties; nan with one class only.

    The statistic of Mann and Whitney (1947).
    """
    if y.min() == y.max():
        return float("nan")
    return float(placements(y, score)[y == 1].mean())


def average_precision(y: Floats, score: Floats) -> float:
    """Sum over distinct thresholds of precision times the gain in recall, without interpolation; nan with one class only."""
    positives = y.sum()
    if positives == 0 or positives == len(y):
        return float("nan")
    return float((precision_at(y, score) * y).sum() / positives)


def precision_at(y: Floats, score: Floats) -> Floats:
    """For each row the precision of 'positive at or above this row's score'; shape (n,)."""
    order = np.argsort(-score)
    falling = score[order]
    starts, lengths = runs(falling)
    precision = np.cumsum(np.add.reduceat(y[order], starts)) / (starts + lengths)
    result = np.empty(len(y))
    result[order] = np.repeat(precision, lengths)
    return result


def binary_log_losses(y: Floats, score: Floats) -> Floats:
    """-log P(what happened), per row, in nats; probabilities clipped by CLIP."""
    given: Floats = np.where(y == 1, score, 1 - score)
    return _log_losses(given)


def squared_errors(y: Floats, score: Floats) -> Floats:
    return (y - score) ** 2


def absolute_errors(y: Floats, score: Floats) -> Floats:
    return np.absolute(y - score)


def binary_hits(y: Floats, score: Floats) -> Floats:
    """1 where the thresholded answer is right."""
    hits: Floats = ((score >= THRESHOLD) == (y == 1)).astype(np.float64)
    return hits


def multiclass_hits(y: Floats, score: Floats) -> Floats:
    """1 where the most probable class (the first among equals) is the right one."""
    hits: Floats = (score.argmax(axis=1) == y).astype(np.float64)
    return hits


def multiclass_log_losses(y: Floats, score: Floats) -> Floats:
    """-log of the probability given to the class that happened, per row, in nats; clipped by CLIP."""
    return _log_losses(score[np.arange(len(y)), y.astype(np.int64)])


def precision(y: Floats, score: Floats) -> float:
    """Right positives / positive answers; nan where nothing was answered positive."""
    return _ratio(y[score >= THRESHOLD].sum(), (score >= THRESHOLD).sum())


def recall(y: Floats, score: Floats) -> float:
    """Right positives / positives; nan where there are none."""
    return _ratio(y[score >= THRESHOLD].sum(), y.sum())


def f1(y: Floats, score: Floats) -> float:
    """Harmonic mean of precision and recall; nan where nothing is, and nothing was answered, positive."""
    return _ratio(2 * y[score >= THRESHOLD].sum(), y.sum() + (score >= THRESHOLD).sum())


def macro_f1(y: Floats, score: Floats) -> float:
    """Mean of the classes' F1 over the classes that occur among labels or answers; nan without rows."""
    occurring, scores = class_f1(y, score)
    return float(scores[occurring].mean())


def class_f1(y: Floats, score: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Which classes occur among labels or answers, and each class's F1 (0 where it does not); both of shape (classes,)."""
    classes = score.shape[1]
    truth, answer = y.astype(np.int64), score.argmax(axis=1)
    hits = np.bincount(truth[truth == answer], minlength=classes)
    total = np.bincount(truth, minlength=classes) + np.bincount(answer, minlength=classes)
    return total > 0, 2 * hits / np.maximum(total, 1)


def rmse(y: Floats, score: Floats) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(squared_errors(y, score).mean()))


def r2(y: Floats, score: Floats) -> float:
    """1 - squared error / squared deviation from the mean of these rows; nan where the target is constant."""
    return 1 - _ratio(squared_errors(y, score).mean(), y.var())


def _log_losses(given: Floats) -> Floats:
    losses: Floats = -np.log(np.clip(given, CLIP, 1))
    return losses


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(losses: Callable[[Floats, Floats], Floats]) -> Metric:
    return lambda y, score: float(losses(y, score).mean())


#: Metrics that are the mean of one number per row, by task: what that number is.
ROW_LOSSES: dict[str, dict[str, Callable[[Floats, Floats], Floats]]] = {
    "binary": {"log_loss": binary_log_losses, "brier": squared_errors, "accuracy": binary_hits},
    "multiclass": {"log_loss": multiclass_log_losses, "accuracy": multiclass_hits},
    "regression": {"mae": absolute_errors},
}

#: task -> metric -> function; the same names as `names.METRIC_NAMES`.
METRICS: dict[str, dict[str, Metric]] = {
    "binary": {
        "auc": auc,
        "average_precision": average_precision,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    },
    "multiclass": {"macro_f1": macro_f1},
    "regression": {"rmse": rmse, "r2": r2},
}
for _task, _losses in ROW_LOSSES.items():
    METRICS[_task] |= {_name: _mean(_function) for _name, _function in _losses.items()}

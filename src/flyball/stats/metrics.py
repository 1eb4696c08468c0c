"""Metrics of binary, multiclass and regression models as pure functions of (y, score).

Where a metric is undefined (no rows; one class only for auc) the answer is nan, never a made-up number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.stats.answers import Answers, Floats, answers_of, require_metric
from flyball.stats.calibration import ece

Metric = Callable[[Answers], float]
Losses = Callable[[Answers], Floats]

#: Probabilities are kept this far from 0 and 1 before taking logarithms, so that log loss stays finite (<= 36.04).
CLIP = float(np.finfo(np.float64).eps)


def compute(metric: str, task: str, y: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """The metric's value on n rows; nan where it is undefined.

    `y` has shape (n,): 0 or 1 for binary, the class's index for multiclass, the value for regression. `score` has shape
    (n,): the probability of class 1, or the predicted value; for multiclass (n, classes): probabilities.
    Raises Mistake for an unknown metric, shapes that do not fit, labels that are no class, and nan or inf anywhere.
    """
    require_metric(metric, task)
    rows = answers_of(task, y, score)
    return METRICS[task][metric](rows) if len(rows.y) else float("nan")


def auc(rows: Answers) -> float:
    """Area under the ROC curve = P(a positive scores above a negative) + half of the ties; nan with one class only.

    The statistic of Mann and Whitney (1947).
    """
    total = rows.y.sum()
    positives = rows.ranking.sums(rows.ranked_y)
    return _ratio(positives @ rows.negatives_below, total * (len(rows.y) - total))


def average_precision(rows: Answers) -> float:
    """Sum over distinct thresholds of precision times the gain in recall, without interpolation; nan with one class only."""
    positives = rows.ranking.sums(rows.ranked_y)
    total = positives.sum()
    if total in (0, len(rows.y)):
        return float("nan")
    return float((rows.precision_above @ positives) / total)


def binary_log_losses(rows: Answers) -> Floats:
    """-log P(what happened), per row, in nats; probabilities clipped by CLIP."""
    return _log_losses(np.where(rows.y == 1, rows.score, 1 - rows.score))


def multiclass_log_losses(rows: Answers) -> Floats:
    """-log of the probability given to the class that happened, per row, in nats; clipped by CLIP."""
    return _log_losses(rows.score[np.arange(len(rows.y)), rows.truth])


def squared_errors(rows: Answers) -> Floats:
    return (rows.y - rows.score) ** 2


def multiclass_squared_errors(rows: Answers) -> Floats:
    """Per row the sum over the classes, as Brier (1950) has it: in [0, 2]."""
    given = rows.score[np.arange(len(rows.y)), rows.truth]
    return np.asarray(np.einsum("ij,ij->i", rows.score, rows.score) - 2 * given + 1)


def absolute_errors(rows: Answers) -> Floats:
    return np.asarray(np.absolute(rows.y - rows.score))


def hits(rows: Answers) -> Floats:
    """1 where the answered class is the right one."""
    return np.asarray(rows.answer == rows.truth, dtype=np.float64)


def precision(rows: Answers) -> float:
    """Right positives / positive answers; nan where nothing was answered positive."""
    return _ratio(rows.y @ rows.answer, rows.answer.sum())


def recall(rows: Answers) -> float:
    """Right positives / positives; nan where there are none."""
    return _ratio(rows.y @ rows.answer, rows.y.sum())


def f1(rows: Answers) -> float:
    """Harmonic mean of precision and recall; nan where nothing is, and nothing was answered, positive."""
    return _ratio(2 * (rows.y @ rows.answer), rows.y.sum() + rows.answer.sum())


def macro_f1(rows: Answers) -> float:
    """Mean of the classes' F1 over the classes that occur among labels or answers; nan without rows."""
    total, scores = class_f1(rows)
    return float(scores[total > 0].mean())


def class_f1(rows: Answers) -> tuple[Floats, Floats]:
    """How often each class occurs among labels and answers together, and its F1 (0: never); both of shape (classes,)."""
    classes, truth, answer = rows.score.shape[1], rows.truth, rows.answer
    right = np.bincount(truth[truth == answer], minlength=classes)
    total = np.bincount(truth, minlength=classes) + np.bincount(answer, minlength=classes)
    return total.astype(np.float64), 2 * right / np.maximum(total, 1)


def rmse(rows: Answers) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(squared_errors(rows).mean()))


def r2(rows: Answers) -> float:
    """1 - squared error / squared deviation from the mean of these rows; nan where the target is constant."""
    return 1 - _ratio(squared_errors(rows).mean(), rows.y.var())


def _log_losses(given: Floats) -> Floats:
    losses: Floats = -np.log(np.clip(given, CLIP, 1))
    return losses


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(losses: Losses) -> Metric:
    return lambda rows: float(losses(rows).mean())


#: Metrics that are the mean of one number per row, by task: what that number is.
ROW_LOSSES: dict[str, dict[str, Losses]] = {
    "binary": {"log_loss": binary_log_losses, "brier": squared_errors, "accuracy": hits},
    "multiclass": {"log_loss": multiclass_log_losses, "brier": multiclass_squared_errors, "accuracy": hits},
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
        "ece": ece,
    },
    "multiclass": {"macro_f1": macro_f1, "ece": ece},
    "regression": {"rmse": rmse, "r2": r2},
}
for _task, _losses in ROW_LOSSES.items():
    METRICS[_task] |= {_name: _mean(_function) for _name, _function in _losses.items()}

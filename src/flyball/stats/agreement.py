"""How far two models' answers to the same rows are apart. Pure; arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flyball.errors import Mistake
from flyball.stats.answers import THRESHOLD

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two models on n rows."""

    rows: int
    #: of a row: of its probability, of its value; of several classes the largest of the class probabilities' differences.
    mean_difference: float
    max_difference: float
    #: share of rows whose class is another; None of a regression.
    class_changes: float | None
    #: Pearson's, over all scores; None where one of the two answers everything alike.
    correlation: float | None


def differences(a: Floats, b: Floats) -> Floats:
    """Shape (n,): the absolute difference of each row. `a`, `b`: shape (n,), or (n, classes)."""
    if a.shape != b.shape:
        raise Mistake(f"answers of shape {a.shape} and {b.shape} cannot be compared row by row")
    apart = np.abs(a - b)
    return apart if apart.ndim == 1 else np.asarray(apart.max(axis=1, initial=0.0))


def agreement(task: str, a: Floats, b: Floats) -> Agreement:
    """At least one row. Binary: probabilities of the positive class; multiclass: shape (n, classes); regression: values."""
    apart = differences(a, b)
    if not len(apart):
        raise Mistake("there are no rows to compare answers on")
    return Agreement(
        rows=len(apart),
        mean_difference=float(apart.mean()),
        max_difference=float(apart.max()),
        class_changes=None if task == "regression" else float(np.mean(_classes(a) != _classes(b))),
        correlation=_correlation(a.ravel(), b.ravel()),
    )


def _classes(score: Floats) -> npt.NDArray[np.intp]:
    return score.argmax(axis=1) if score.ndim == 2 else (score >= THRESHOLD).astype(np.intp)


def _correlation(a: Floats, b: Floats) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])

"""Is this data fit to judge a model on? A feature that all but is the target; held-out rows that training has seen. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.stats.answers import answers_of
from flyball.stats.metrics import auc

Floats = npt.NDArray[np.float64]

#: rows of which at least this many, and this many of either class, are needed to suspect a feature.
LEAST_ROWS = 50
LEAST_OF_CLASS = 10


def alone(task: str, y: Floats, values: npt.NDArray[np.generic]) -> float:
    """How well one feature foretells the target alone, in [0, 1]; nan where these rows cannot tell.

    Binary: its AUC, in whichever direction; regression: squared correlation. Text, and numbers for several classes, are
    coded by the other half's mean target (several classes: most frequent class, and the answer is the share of rows it
    is right on, nan where one class has nearly all rows). `values`, shape (n,): numbers with nan for missing, or text.
    """
    if len(y) < LEAST_ROWS or len(np.unique(y)) < 2:
        return float("nan")
    if task == "multiclass":
        return _classes(y, values)
    numbers = values.astype(np.float64) if values.dtype.kind in "fiub" else _coded(y, values)
    known = np.isfinite(numbers)
    numbers = np.where(known, numbers, numbers[known].mean() if known.any() else 0.0)
    if task == "regression":
        if numbers.std() == 0 or y.std() == 0:
            return 0.0
        return float(np.corrcoef(numbers, y)[0, 1] ** 2)
    if min(y.sum(), len(y) - y.sum()) < LEAST_OF_CLASS:
        return float("nan")
    value = auc(answers_of("binary", y, numbers))
    return max(value, 1 - value)


def _coded(y: Floats, values: npt.NDArray[np.generic]) -> Floats:
    """Each row's category as the mean target of the other half's rows of it; the mean of all where there are none."""
    _, codes = np.unique(values.astype(np.str_), return_inverse=True)
    half = np.arange(len(y)) % 2
    coded = np.empty(len(y))
    for side in (0, 1):
        other = half != side
        count = np.bincount(codes[other], minlength=codes.max() + 1)
        total = np.bincount(codes[other], weights=y[other], minlength=codes.max() + 1)
        means = np.where(count > 0, total / np.maximum(count, 1), y[other].mean())
        coded[~other] = means[codes[~other]]
    return coded


def _classes(y: Floats, values: npt.NDArray[np.generic]) -> float:
    truth = y.astype(np.int64)
    if np.bincount(truth).max() > 0.9 * len(y):
        return float("nan")
    _, codes = np.unique(values.astype(np.str_), return_inverse=True)
    half, right = np.arange(len(y)) % 2, 0
    for side in (0, 1):
        other = half != side
        counts = np.zeros((codes.max() + 1, truth.max() + 1), dtype=np.int64)
        np.add.at(counts, (codes[other], truth[other]), 1)
        seen = counts.sum(axis=1) > 0
        right += int((seen[codes] & (counts.argmax(axis=1)[codes] == truth))[~other].sum())
    return right / len(y)


def overlap(held_out: npt.NDArray[np.integer[Any]], trained: npt.NDArray[np.integer[Any]]) -> tuple[int, float]:
    """How many of the held-out rows' digests are among the trained rows'; and what share of the trained rows has a twin
    among the others, which is what comes about by itself where rows hold few distinct values.
    """
    distinct, counts = np.unique(trained, return_counts=True)
    place = np.minimum(np.searchsorted(distinct, held_out), max(len(distinct) - 1, 0))
    seen = int((distinct[place] == held_out).sum()) if len(distinct) else 0
    return seen, float(counts[counts > 1].sum() / max(len(trained), 1))

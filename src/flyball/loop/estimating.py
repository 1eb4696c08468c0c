"""Fits what a version estimates its own performance by, once labels are late: on the held-out rows, as its bundle is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from sklearn.ensemble import RandomForestRegressor

from flyball.engine.contract import Prediction
from flyball.monitor.estimators import FORMAT, Kind
from flyball.stats.calibrated import LEAST_ROWS, Calibration, fit_calibration
from flyball.stats.expected_errors import PREDICTION, ErrorModel, Tree, design, expected

#: trees of an error model, how deep they are, and the share of the rows that a leaf holds at least.
TREES = 20
DEPTH = 8
LEAF_SHARE = 0.002
LEAST_LEAF = 20
#: levels of a category that are told apart, the most frequent ones.
MOST_LEVELS = 200

Floats = npt.NDArray[np.float64]


def estimator_bytes(
    task: str,
    y: Floats,
    answer: Prediction,
    columns: Mapping[str, npt.NDArray[Any]],
    categories: frozenset[str],
    days: npt.NDArray[np.int64] | None,
) -> bytes | None:
    """The bundle's `estimate.json`; None where the held-out rows are too few.

    `y`: shape (n,), 0 or 1, class index or value. `columns`: features, those in `categories` as levels. `days`: rows of one
    value move together.
    """
    kind: Kind
    model: Calibration | ErrorModel | None
    if task == "regression":
        kind, model = "errors", _error_model(y, answer.score, columns, categories, days)
    elif task == "binary":
        kind, model = "chance", fit_calibration(y, answer.score, days)
    else:
        assert answer.probabilities is not None
        right = answer.probabilities.argmax(axis=1) == y
        kind, model = "right", fit_calibration(right.astype(np.float64), answer.score, days)
    if model is None:
        return None
    return orjson.dumps({"format": FORMAT, "kind": kind, "model": model.to_json()})


def _error_model(
    y: Floats,
    prediction: Floats,
    columns: Mapping[str, npt.NDArray[Any]],
    categories: frozenset[str],
    days: npt.NDArray[np.int64] | None,
) -> ErrorModel | None:
    apart = y - prediction
    if len(y) < LEAST_ROWS or not np.isfinite(apart).all():
        return None
    errors = np.stack([np.abs(apart), apart**2], axis=1)
    inputs = {**columns, PREDICTION: prediction}
    levels = {name: _levels(columns[name], errors[:, 0]) for name in columns if name in categories}
    unknown = {name: float(errors[:, 0].mean()) if name in levels else _middle(inputs[name]) for name in inputs}
    bare = ErrorModel(rows=len(y), inputs=tuple(inputs), levels=levels, unknown=unknown, trees=(), spread=(0.0, 0.0))
    seen = design(bare, inputs, len(y))
    leaf = max(LEAST_LEAF, int(len(y) * LEAF_SHARE))
    forest = RandomForestRegressor(
        n_estimators=TREES, max_depth=DEPTH, min_samples_leaf=leaf, random_state=0, n_jobs=1
    ).fit(seen, errors)
    trees = tuple(_tree(item.tree_) for item in forest.estimators_)
    rest = errors - expected(_with(bare, trees, (0.0, 0.0)), seen)
    return _with(bare, trees, (_spread(rest[:, 0], days), _spread(rest[:, 1], days)))


def _with(bare: ErrorModel, trees: tuple[Tree, ...], spread: tuple[float, float]) -> ErrorModel:
    return ErrorModel(
        rows=bare.rows, inputs=bare.inputs, levels=bare.levels, unknown=bare.unknown, trees=trees, spread=spread
    )


def _tree(fitted: Any) -> Tree:
    return Tree(
        column=np.maximum(fitted.feature, -1).astype(np.int64),
        threshold=fitted.threshold.astype(np.float64),
        left=fitted.children_left.astype(np.int64),
        right=fitted.children_right.astype(np.int64),
        value=fitted.value[:, :, 0].astype(np.float64),
    )


def _levels(values: npt.NDArray[Any], errors: Floats) -> dict[str, float]:
    """Level -> its mean error, so that levels alike lie beside each other."""
    texts, place, rows = np.unique(
        np.asarray([str(value) for value in values]), return_inverse=True, return_counts=True
    )
    means = np.bincount(place, weights=errors) / rows
    kept = np.argsort(-rows, kind="stable")[:MOST_LEVELS]
    return {str(texts[index]): float(means[index]) for index in sorted(kept.tolist())}


def _middle(values: npt.NDArray[Any]) -> float:
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if len(known) else 0.0


def _spread(rest: Floats, days: npt.NDArray[np.int64] | None) -> float:
    """Variance of one row, so that n-th of it is the variance of n rows' mean; larger where rows of a day move together."""
    own = float(rest.var(ddof=1))
    if days is None or len(np.unique(days)) < 5:
        return own
    _, place = np.unique(days, return_inverse=True)
    sums = np.bincount(place, weights=rest)
    return max(own, float(len(sums) * sums.var(ddof=1) / len(rest)))

"""How large a regression's error should be, row by row: trees fitted on held-out errors, kept as plain numbers.

The idea of direct loss estimation (DLE; NannyML's documentation, "Estimation of Performance of the Monitored Model"): a
second model foretells the first one's absolute and squared error from features and prediction. It sees inputs move to where
errors are larger; it cannot see concept drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from flyball.stats.answers import Floats, Ints
from flyball.stats.estimate import Estimate

#: the input that is the model's own answer.
PREDICTION = "(prediction)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """Nodes by number, the root first: shape (nodes,) each, `value` (nodes, 2)."""

    #: input asked; -1: a leaf.
    column: Ints
    #: at or below goes left.
    threshold: Floats
    left: Ints
    right: Ints
    #: mean absolute and mean squared error of the held-out rows that came here.
    value: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorModel:
    """What foretells errors."""

    #: held-out rows it was fitted on.
    rows: int
    #: names of the inputs, in order: features, and PREDICTION.
    inputs: tuple[str, ...]
    #: of an input that is a category: level -> the number it is read as; other levels are read as `unknown`.
    levels: Mapping[str, Mapping[str, float]]
    #: input -> what stands where nothing is known.
    unknown: Mapping[str, float]
    trees: tuple[Tree, ...]
    #: of absolute and squared error: variance of one row about what was foretold; n-th of it is that of n rows' mean. Rows
    #: of one day move together, and it is as much larger.
    spread: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "inputs": list(self.inputs),
            "levels": {name: dict(found) for name, found in self.levels.items()},
            "unknown": dict(self.unknown),
            "trees": [{name: getattr(tree, name).tolist() for name in Tree.__slots__} for tree in self.trees],
            "spread": list(self.spread),
        }


def error_model_from_json(document: Mapping[str, Any]) -> ErrorModel:
    """What `ErrorModel.to_json` gave. Raises KeyError, ValueError, TypeError where it is something else."""
    trees = [
        Tree(
            column=np.asarray(tree["column"], dtype=np.int64),
            threshold=np.asarray(tree["threshold"], dtype=np.float64),
            left=np.asarray(tree["left"], dtype=np.int64),
            right=np.asarray(tree["right"], dtype=np.int64),
            value=np.asarray(tree["value"], dtype=np.float64),
        )
        for tree in document["trees"]
    ]
    absolute, squared = document["spread"]
    return ErrorModel(
        rows=int(document["rows"]),
        inputs=tuple(document["inputs"]),
        levels=document["levels"],
        unknown=document["unknown"],
        trees=tuple(trees),
        spread=(float(absolute), float(squared)),
    )


def design(model: ErrorModel, columns: Mapping[str, npt.ArrayLike], rows: int) -> Floats:
    """The inputs as numbers, shape (rows, inputs); what is missing, or not there at all, as `unknown` says."""
    found = np.empty((rows, len(model.inputs)))
    for place, name in enumerate(model.inputs):
        found[:, place] = _numbers(model, name, columns[name]) if name in columns else model.unknown[name]
    return found


def expected(model: ErrorModel, inputs: Floats) -> Floats:
    """Absolute and squared error to be expected of each row, shape (n, 2)."""
    total = np.zeros((len(inputs), 2))
    for tree in model.trees:
        total += tree.value[_leaves(tree, inputs)]
    return total / max(len(model.trees), 1)


def _means(model: ErrorModel, inputs: Floats) -> Floats:
    """What each tree makes of the rows' mean errors, shape (trees, 2)."""
    return np.stack([tree.value[_leaves(tree, inputs)].mean(axis=0) for tree in model.trees])


def _leaves(tree: Tree, inputs: Floats) -> Ints:
    """The leaf each row comes to, shape (n,)."""
    node = np.zeros(len(inputs), dtype=np.int64)
    rows = np.flatnonzero(tree.column[node] >= 0)
    while len(rows):
        at = node[rows]
        low = inputs[rows, tree.column[at]] <= tree.threshold[at]
        node[rows] = np.where(low, tree.left[at], tree.right[at])
        rows = rows[tree.column[node[rows]] >= 0]
    return node


def estimate_regression(
    model: ErrorModel, columns: Mapping[str, npt.ArrayLike], rows: int, *, confidence: float
) -> dict[str, Estimate]:
    """`mae` and `rmse` to be expected of n unlabelled rows; empty without rows. `r2` asks for the target's own spread.

    The interval is where the metric of these rows should lie: their errors' chance, and that of the held-out rows, as the
    trees differ that were each grown on a bootstrap of them (Efron 1979, doi:10.1214/aos/1176344552). Where errors are
    larger they differ by more, too: their spread goes as the squared error.
    """
    if not rows:
        return {}
    found = _means(model, design(model, columns, rows))
    means = found.mean(axis=0)
    between = found.var(axis=0, ddof=1) if len(found) > 1 else np.zeros(2)
    usual = np.mean([tree.value[0, 1] for tree in model.trees])
    larger = float(means[1] / usual) if usual > 0 else 1.0
    spread = np.asarray(model.spread) * (larger, larger**2)
    noise = spread / rows + np.maximum(between, spread / model.rows)
    half = float(ndtri((1 + confidence) / 2)) * np.sqrt(noise)
    low, high = np.maximum(means - half, 0), means + half
    return {
        "mae": Estimate(value=float(means[0]), low=float(low[0]), high=float(high[0]), rows=rows),
        "rmse": Estimate(
            value=float(np.sqrt(means[1])), low=float(np.sqrt(low[1])), high=float(np.sqrt(high[1])), rows=rows
        ),
    }


def _numbers(model: ErrorModel, name: str, values: npt.ArrayLike) -> Floats:
    absent = model.unknown[name]
    if name in model.levels:
        levels = model.levels[name]
        return np.asarray(
            [levels.get(str(value), absent) for value in np.asarray(values, dtype=object)], dtype=np.float64
        )
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, absent)

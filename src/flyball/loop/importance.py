"""How much a version leans on each feature, measured when it is made and kept with it as `importance.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from flyball.engine.session import Engine
from flyball.project.build import PRIMARY_METRIC
from flyball.stats.metrics import compute
from flyball.stats.names import GREATER_IS_BETTER

IMPORTANCE = "importance.json"
#: rows that are asked once more for each feature.
MOST_ROWS = 2_000
#: of the order that a column is brought into: the same rows give the same bytes.
SEED = 7


def importance(
    engine: Engine, columns: Mapping[str, npt.NDArray[np.generic]], y: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Feature -> how much the task's metric (auc, accuracy, rmse) loses when the feature's values change rows.

    Permutation importance (Breiman 2001, doi:10.1023/A:1010933404324), once per feature, on at most the last MOST_ROWS
    rows: `columns` as the engine takes them, `y` of shape (n,). Its error is the metric's own on as many rows. Empty
    where the metric is undefined, as with one class.
    """
    metric = PRIMARY_METRIC[engine.contract.task]
    sign = 1.0 if GREATER_IS_BETTER[metric] else -1.0
    asked = {name: values[-MOST_ROWS:] for name, values in columns.items()}
    truth = y[-MOST_ROWS:]

    def measured(given: Mapping[str, npt.NDArray[np.generic]]) -> float:
        answer = engine.predict(given)
        found = answer.probabilities if engine.contract.task == "multiclass" else answer.score
        assert found is not None
        return sign * compute(metric, engine.contract.task, truth, found)

    whole = measured(asked) if len(truth) else float("nan")
    if not np.isfinite(whole):
        return {}
    order = np.random.default_rng(SEED).permutation(len(truth))
    found = {name: whole - measured({**asked, name: asked[name][order]}) for name in engine.contract.names()}
    return {name: round(float(value), 6) for name, value in found.items() if np.isfinite(value)}


def importance_bytes(found: Mapping[str, float]) -> bytes:
    return orjson.dumps(dict(found), option=orjson.OPT_INDENT_2)


def kept_importance(bundle: Path) -> dict[str, float]:
    """Of a version's bundle; empty where it keeps none."""
    path = bundle / IMPORTANCE
    found: dict[str, float] = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return found

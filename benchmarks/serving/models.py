"""The three models of the benchmarks, fitted from a fixed seed: `python benchmarks/serving/models.py FOLDER`.

Imports no Flyball: every peer fits them in its own environment, so that no pickle crosses versions. Fitted on plain
arrays, so that no server pays for matching column names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LIGHTGBM, FOREST, LOGISTIC = NAMES = ("lightgbm", "forest", "logistic")
#: as LightGBM names the columns of an array.
FEATURES = tuple(f"Column_{index}" for index in range(30))
TREES = 200
TRAINING_ROWS = 2_000


def rows(count: int, seed: int) -> npt.NDArray[np.float64]:
    """`count` rows of all features, to six decimals as a client would write them."""
    return np.random.default_rng(seed).normal(size=(count, len(FEATURES))).round(6)


def fitted(name: str) -> Any:
    """A binary classifier that answers with one thread."""
    table = rows(TRAINING_ROWS, seed=0)
    label = (table[:, 0] * table[:, 1] + table[:, 2] + np.random.default_rng(1).normal(size=len(table)) > 0).astype(int)
    # Whoever only asks for names and rows need not wait for what is needed to fit.
    if name == LIGHTGBM:
        from lightgbm import LGBMClassifier

        model: Any = LGBMClassifier(n_estimators=TREES, n_jobs=1, random_state=0, verbose=-1)
    elif name == FOREST:
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(n_estimators=TREES, n_jobs=1, random_state=0)
    else:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(table.astype(np.float32), label)


def fit_into(folder: Path) -> None:
    """Write the models that `folder` lacks, as NAME.joblib."""
    import joblib

    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if not (path := folder / f"{name}.joblib").exists():
            draft = path.with_suffix(".draft")
            joblib.dump(fitted(name), draft)
            draft.rename(path)


if __name__ == "__main__":
    fit_into(Path(sys.argv[1]))

"""XGBoost's models, compiled and proven against themselves, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from flyball.engine.compile import CannotCompile, classes_of, compile_model
from flyball.engine.contract import Contract
from flyball.engine.infer import infer_contract
from flyball.engine.parity import prove
from flyball.engine.session import open_engine

xgboost = pytest.importorskip("xgboost")

ROWS = 1_000
TARGETS: dict[str, Any] = {}


def table() -> pd.DataFrame:
    """Doubles with missing values, integers and booleans, under names that are no C identifiers."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"dep delay": rng.normal(size=ROWS), "distance": rng.integers(80, 2_500, ROWS)})
    frame.loc[rng.random(ROWS) < 0.1, "dep delay"] = np.nan
    frame["holiday"] = rng.random(ROWS) < 0.2
    score = frame["dep delay"].fillna(0.0) + frame["distance"] / 2_500 + rng.normal(0, 0.3, ROWS)
    TARGETS.update(binary=(score > 0.5).astype(int), multiclass=np.digitize(score, [0.0, 1.0]), regression=score)
    return frame


FRAME = table()


def contract_of(model: Any, task: Any, frame: pd.DataFrame = FRAME) -> Contract:
    positive = "1" if task == "binary" else None
    return infer_contract(
        frame, model="m", task=task, features=list(frame), classes=classes_of(model), positive=positive
    )


def classifier(**options: Any) -> Any:
    return xgboost.XGBClassifier(n_estimators=20, n_jobs=1, **options)


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (classifier(), "binary"),
        (classifier(), "multiclass"),
        (xgboost.XGBRegressor(n_estimators=20, n_jobs=1), "regression"),
        (make_pipeline(SimpleImputer(), classifier()), "binary"),
        (GridSearchCV(classifier(), {"max_depth": [2, 3]}, cv=2), "binary"),
    ],
)
def test_xgboost_answers_the_same_when_compiled(model: Any, task: str) -> None:
    """No row differs by more than 1e-5."""
    fitted = model.fit(FRAME, TARGETS[task])
    contract = contract_of(fitted, task)
    parity = prove(fitted, open_engine(contract, compile_model(fitted, contract)), FRAME)
    assert (parity.over_tolerance, parity.class_changes) == (0, 0)


def test_compiling_leaves_the_booster_its_names() -> None:
    """They are taken off it for the converter only."""
    fitted = classifier().fit(FRAME, TARGETS["binary"])
    compile_model(fitted, contract_of(fitted, "binary"))
    assert fitted.get_booster().feature_names == list(FRAME)
    assert fitted.get_booster().feature_types == ["float", "int", "i"]


def test_categories_inside_xgboost_are_not_compiled() -> None:
    """Their codes are not in the graph."""
    frame = FRAME.assign(carrier=pd.Series(["UA", "AA"] * (ROWS // 2), dtype="category"))
    fitted = classifier(enable_categorical=True).fit(frame, TARGETS["binary"])
    with pytest.raises(CannotCompile, match=r"fitted on categories.*OrdinalEncoder or OneHotEncoder, before XGBoost"):
        compile_model(fitted, contract_of(fitted, "binary", frame))

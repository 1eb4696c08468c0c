"""LightGBM's and XGBoost's converters, taught to skl2onnx where a model holds one of theirs; mended where they are wrong.

Slow to import, as `engine.graph` is, and for the same use only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from flyball.engine.parts import parts_of

#: of a classifier's converter.
_CLASSIFIER = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def register_boosters(fitted: Any) -> None:
    """Teach skl2onnx the boosters that are inside `fitted`, and no others: their packages are optional."""
    packages = {type(part).__module__.partition(".")[0] for part in parts_of(fitted)}
    if "lightgbm" in packages:
        _register_lightgbm()
    if "xgboost" in packages:
        _register_xgboost()


def _register_lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    convert = _with_float_thresholds(convert_lightgbm)
    _register_classifier(LGBMClassifier, "LightGbmLGBMClassifier", convert)
    _register_regressor(LGBMRegressor, "LightGbmLGBMRegressor", convert, {"split": None})


def _register_xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from xgboost import XGBClassifier, XGBRegressor

    convert = _without_names(convert_xgboost)
    _register_classifier(XGBClassifier, "XGBoostXGBClassifier", convert)
    _register_regressor(XGBRegressor, "XGBoostXGBRegressor", convert, {})


def _register_classifier(kind: type, name: str, convert: Any) -> None:
    update_registered_converter(kind, name, calculate_linear_classifier_output_shapes, convert, options=_CLASSIFIER)


def _register_regressor(kind: type, name: str, convert: Any, options: dict[str, Any]) -> None:
    update_registered_converter(kind, name, calculate_linear_regressor_output_shapes, convert, options=options)


def _without_names(convert: Any) -> Any:
    """XGBoost's converter, for models fitted on named columns: it knows a column by its number, and all as numbers."""

    def converted(scope: Any, operator: Any, container: Any) -> None:
        booster = operator.raw_operator.get_booster()
        names, types = booster.feature_names, booster.feature_types
        booster.feature_names = booster.feature_types = None
        try:
            convert(scope, operator, container)
        finally:
            booster.feature_names, booster.feature_types = names, types

    return converted


def _with_float_thresholds(convert: Any) -> Any:
    """LightGBM's converter, with thresholds that send every float32 the way the model's own doubles do.

    A double rounded to the nearest float32 may land on the very value it lies just below: rows with that value, thousands
    where weather is shared, would go left instead of right. `value <= threshold` is kept by rounding down.
    """

    def converted(scope: Any, operator: Any, container: Any) -> None:
        add_node = container.add_node

        def rounded(*args: Any, **attributes: Any) -> None:
            if "nodes_values" in attributes:
                exact = np.asarray(attributes["nodes_values"], dtype=np.float64)
                near = exact.astype(np.float32)
                below = np.nextafter(near, np.float32(-np.inf))
                attributes["nodes_values"] = np.where(near > exact, below, near).tolist()
            add_node(*args, **attributes)

        container.add_node = rounded
        try:
            convert(scope, operator, container)
        finally:
            container.add_node = add_node

    return converted

"""A fitted model becomes an ONNX graph that takes the contract's two blocks and answers probabilities or values.

skl2onnx and its kin are imported when a model is compiled (`engine.graph`), never when one is served.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from flyball.engine.contract import Contract
from flyball.engine.infer import class_text
from flyball.engine.parts import parts_of
from flyball.engine.pyfunc import Pyfunc
from flyball.engine.session import first_line, open_engine
from flyball.errors import Mistake

_USE_ENCODER = "Encode categories in the Pipeline with OrdinalEncoder or OneHotEncoder"


class CannotCompile(Mistake):
    """A model that cannot become a graph, and can be served natively; says why and what to change."""

    def __init__(self, fitted: Any, cause: str, mend: str) -> None:
        super().__init__(f"{type(fitted).__name__} cannot be compiled to ONNX: {cause}. {mend}")
        self.cause = cause
        self.mend = mend


_NO_GRAPH = "Log it in the flavour of its library, or adopt its ONNX export"


def classes_of(fitted: Any) -> tuple[str, ...]:
    """A classifier's labels in its own order, as text: the `classes` of its contract. Empty for a regressor."""
    return tuple(str(label) for label in getattr(fitted, "classes_", ()))


def compile_model(fitted: Any, contract: Contract) -> bytes:
    """The ONNX graph of a fitted scikit-learn, LightGBM or XGBoost estimator, alone or in a Pipeline.

    Its inputs are `numbers` and `categories`, the blocks of a `Table`; its output is `answer`. It computes in float32,
    so whether it answers as the model does is for `engine.parity` to prove. Raises `CannotCompile`.
    """
    if isinstance(fitted, Pyfunc):
        raise CannotCompile(fitted, "it is Python code behind MLflow's pyfunc", _NO_GRAPH)
    parts = list(parts_of(fitted))
    _check_against(contract, fitted)
    _refuse_timestamps(fitted, contract)
    for part in parts:
        _refuse_categories_inside_trees(fitted, part)
    from flyball.engine.graph import build_graph  # slow: skl2onnx

    by_column = bool(contract.layout.categories) or any(type(part).__name__ == "ColumnTransformer" for part in parts)
    try:
        model = build_graph(_with_empty_text(fitted, parts), contract, by_column=by_column)
        open_engine(contract, model)
    except Exception as error:  # skl2onnx and the runtime raise whatever they run into
        mend = "Use scikit-learn's own estimators and transformers, LightGBM's or XGBoost's"
        cause = f"{type(error).__name__}: {first_line(error)}"
        raise CannotCompile(fitted, cause, mend) from error
    return model


def _check_against(contract: Contract, fitted: Any) -> None:
    if contract.task != "regression":
        # True, 1.0 and 1 are "1" in a contract that is made of a table; `classes_of` spells them as they are.
        if contract.classes not in (classes_of(fitted), tuple(class_text(label) for label in fitted.classes_)):
            raise Mistake(f"the model's classes are {classes_of(fitted)}, the contract says {contract.classes}")
        if not hasattr(fitted, "predict_proba"):
            raise Mistake(
                f"{type(fitted).__name__} has no predict_proba, and a classifier answers probabilities; "
                "use one that has, or wrap it in CalibratedClassifierCV"
            )
    names = getattr(fitted, "feature_names_in_", None)
    # LightGBM keeps a name with its blanks as underscores.
    if names is not None and _without_blanks(names) != _without_blanks(contract.names()):
        raise Mistake(
            f"the model was fitted on columns {', '.join(map(str, names))}; the contract names {', '.join(contract.names())}."
            " Infer the contract from the features the model was fitted on, in their order"
        )


def _without_blanks(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(name).replace(" ", "_") for name in names)


def _refuse_timestamps(fitted: Any, contract: Contract) -> None:
    """The runtime knows no time, and no converter reads one from text."""
    if found := [feature.name for feature in contract.features if feature.kind == "timestamp"]:
        cause = f"no graph takes timestamps, such as its column {found[0]!r}"
        mend = 'Give the model numbers made of it, such as its hour, or serve it natively: [serving] engine = "auto"'
        raise CannotCompile(fitted, cause, mend)


def _refuse_categories_inside_trees(fitted: Any, part: Any) -> None:
    """Trees that hold category codes convert without a word and answer wrongly (sklearn-onnx #1051, #1101)."""
    categorical = getattr(part, "is_categorical_", None)
    if categorical is not None and np.any(categorical):
        raise CannotCompile(fitted, "its categorical_features= cannot be expressed in the graph", _USE_ENCODER)
    booster = getattr(part, "booster_", None) if type(part).__module__.startswith("lightgbm") else None
    if booster is not None and booster.pandas_categorical:
        cause = "it was fitted on pandas 'category' columns, whose codes are not in the graph"
        raise CannotCompile(fitted, cause, f"{_USE_ENCODER}, before LightGBM")
    if type(part).__module__.startswith("xgboost") and "c" in _kinds_in_xgboost(part):
        cause = "it was fitted on categories, whose codes are not in the graph"
        raise CannotCompile(fitted, cause, f"{_USE_ENCODER}, before XGBoost")


def _kinds_in_xgboost(part: Any) -> Iterable[str]:
    """What it took its columns for; nothing, of one that is not fitted: a search's pattern, an unused step."""
    return (part.get_booster().feature_types or ()) if part.__sklearn_is_fitted__() else ()


def _with_empty_text(fitted: Any, parts: list[Any]) -> Any:
    """The model as it would be had missing categories been "" in training, which is what they are in a `Table`.

    A copy, of the encoders and imputers concerned and of what holds them; all else is shared.
    """
    concerned = {id(part) for part in parts if _knows_missing_text(part)}
    if not concerned:
        return fitted
    leaves = [part for part in parts if id(part) not in concerned and len(list(parts_of(part))) == 1]
    copied = copy.deepcopy(fitted, {id(part): part for part in leaves})
    for part in parts_of(copied):
        if hasattr(part, "categories_"):
            part.categories_ = [_last_as_empty_text(levels) for levels in part.categories_]
        elif _knows_missing_text(part):
            part.missing_values = ""
    return copied


def _knows_missing_text(part: Any) -> bool:
    if hasattr(part, "statistics_"):
        return part.statistics_.dtype.kind in "OU" and not isinstance(part.missing_values, str)
    return any(_ends_missing(levels) for levels in getattr(part, "categories_", ()))


def _ends_missing(levels: Any) -> bool:
    """Whether these are texts and None or NaN, which scikit-learn sorts behind all others."""
    *others, last = levels if len(levels) else ("",)
    return (last is None or last != last) and all(isinstance(level, str) for level in others)


def _last_as_empty_text(levels: Any) -> Any:
    return np.array([*levels[:-1], ""], dtype=object) if _ends_missing(levels) else levels

"""Asking a fitted model itself: what its own `predict_proba` or `predict` answers, in the form a graph answers in."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flyball.engine.contract import Contract

if TYPE_CHECKING:
    import pandas as pd


def answers(fitted: Any, contract: Contract, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The model's own answers: shape (rows, classes) of probabilities, or (rows, 1) of values."""
    features: Any = frame[list(contract.names())]
    if hasattr(fitted, "n_features_in_") and not hasattr(fitted, "feature_names_in_"):
        features = features.to_numpy()  # it was fitted on an array, and knows no names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a model has to say about its input it has said in training
        found = fitted.predict(features) if contract.task == "regression" else fitted.predict_proba(features)
    return np.asarray(found, dtype=np.float64).reshape(len(frame), max(len(contract.classes), 1))

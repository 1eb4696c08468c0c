"""A version's input contract: which columns it takes, of which kind, what was seen in training.

Pure. Checking rows against it is `engine.check`; running the model is `engine.session`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["number", "integer", "boolean", "category"]
Task = Literal["binary", "multiclass", "regression"]

#: name -> one array per feature, all of one length: float32 for number, integer and boolean (NaN = missing),
#: object arrays of str for category (missing = "").
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One input column."""

    name: str
    kind: Kind
    #: whether training saw missing values; a missing value where training saw none is a violation.
    nullable: bool
    #: range seen in training (numbers); outside it is answered and counted, not refused.
    low: float | None = None
    high: float | None = None
    #: values seen in training (categories), most frequent first, at most 1,000; others are answered, as unseen.
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a version accepts and what it answers."""

    model: str
    task: Task
    features: tuple[Feature, ...]
    #: class labels in the model's own order (binary: exactly two), as text; empty for regression.
    classes: tuple[str, ...]
    #: the class whose probability a binary model answers.
    positive: str | None
    #: one row that satisfies the contract, for docs and OpenAPI.
    example: Mapping[str, Any]

    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Contract:
        features = tuple(Feature(**{**item, "levels": tuple(item["levels"])}) for item in value["features"])
        return Contract(**{**value, "features": features, "classes": tuple(value["classes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A version's answer to n rows."""

    #: shape (n,): binary: probability of the positive class; multiclass: class label (str); regression: value.
    prediction: npt.NDArray[Any]
    #: shape (n,), float64: binary: the same probability; multiclass: highest probability; regression: the value.
    score: npt.NDArray[np.float64]
    #: shape (n, classes), float64; None for regression.
    probabilities: npt.NDArray[np.float64] | None

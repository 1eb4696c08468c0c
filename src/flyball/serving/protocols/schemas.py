"""Pieces of JSON Schema that the protocols share, for OpenAPI: a model's row, its columns, its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flyball.engine.contract import Contract, Feature, Kind

_JSON_TYPES: Mapping[Kind, str] = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "category": "string",
    "timestamp": "string",
}
#: levels of a category that the document lists.
_LEVELS = 50
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_KEY_LENGTH = 512

Schema = dict[str, Any]


def row_schema(contract: Contract) -> Schema:
    """One row: every feature required, nothing else allowed; ranges seen in training as notes."""
    return {
        "type": "object",
        "properties": {feature.name: feature_schema(feature) for feature in contract.features},
        "required": list(contract.names()),
        "additionalProperties": False,
        "examples": [dict(contract.example)],
    }


def feature_schema(feature: Feature) -> Schema:
    """One value. The range seen in training is a note: values outside it are answered, and watched."""
    kind = _JSON_TYPES[feature.kind]
    schema: Schema = {"type": [kind, "null"] if feature.nullable else kind}
    if feature.kind in ("number", "integer"):
        schema |= {"minimum": -_FLOAT32_MAX, "maximum": _FLOAT32_MAX}
    if feature.kind == "category" and not feature.nullable:
        schema["minLength"] = 1
    if feature.kind == "timestamp":
        schema |= _time_schema(feature)
    if feature.low is not None and feature.high is not None:
        schema["description"] = f"In training: {feature.low:g} to {feature.high:g}."
        schema["x-range-seen"] = [feature.low, feature.high]
    if feature.levels:
        shown = feature.levels[:_LEVELS]
        more = f", and {len(feature.levels) - _LEVELS} more" if len(feature.levels) > _LEVELS else ""
        schema["description"] = f"In training: {', '.join(shown)}{more}."
        schema["x-levels-seen"] = list(shown)
    return schema


def _time_schema(feature: Feature) -> Schema:
    """What its text must be; `date-time-local` is OpenAPI's word for one without a zone."""
    zoned = feature.timezone is not None
    says = f"With Z or an offset; the model sees it in {feature.timezone}." if zoned else "Without a zone."
    schema: Schema = {"format": "date-time" if zoned else "date-time-local", "description": says}
    if feature.earliest is not None:
        schema["description"] = f"In training: {feature.earliest} to {feature.latest}. {says}"
        schema["x-range-seen"] = [feature.earliest, feature.latest]
    return schema


def datatype(feature: Feature) -> str:
    """Of the tensor that a client should send, as the Open Inference Protocol calls it: only floats can be missing."""
    if feature.kind in ("category", "timestamp"):
        return "BYTES"
    if feature.kind == "number" or feature.nullable:
        return "FP32"
    return "INT64" if feature.kind == "integer" else "BOOL"


def row(contract: Contract) -> Schema:
    """A reference to the model's row."""
    return {"$ref": f"#/components/schemas/{contract.model}-row"}


def values(contract: Contract) -> Schema:
    """A row as a list, in the order of the contract."""
    return {
        "type": "array",
        "prefixItems": [feature_schema(feature) for feature in contract.features],
        "minItems": len(contract.features),
        "maxItems": len(contract.features),
        "description": f"In the order {', '.join(contract.names())}.",
    }


def split(contract: Contract) -> Schema:
    """Rows as lists, with the names of their columns."""
    return {
        "type": "object",
        "properties": {
            "columns": {"const": list(contract.names()), "description": "In any order, as the values then are too."},
            "data": {"type": "array", "items": values(contract), "minItems": 1},
        },
        "required": ["columns", "data"],
        "additionalProperties": False,
    }


def columns(contract: Contract) -> Schema:
    """One list a feature, all of one length."""
    return {
        "type": "object",
        "properties": {
            feature.name: {"type": "array", "items": feature_schema(feature), "minItems": 1}
            for feature in contract.features
        },
        "required": list(contract.names()),
        "additionalProperties": False,
        "description": "Lists of one length, with one value a row.",
    }


def parameters() -> Schema:
    """What a prediction may be said to be about, where a protocol has parameters."""
    return {"type": "object", "properties": event(), "additionalProperties": False}


def event() -> dict[str, Schema]:
    """Whom rows are about and when they happened."""
    key: Schema = {"type": "string", "minLength": 1, "maxLength": _KEY_LENGTH}
    time: Schema = {"type": "string", "format": "date-time"}
    return {
        "key": {
            "description": "The entity, of all rows or of each.",
            "oneOf": [key, {"type": "array", "items": key}],
        },
        "timestamp": {
            "description": "When it happened, of all rows or of each; without it, now.",
            "oneOf": [time, {"type": "array", "items": time}],
        },
    }


def prediction(contract: Contract) -> Schema:
    """One row's prediction: a class, or a number."""
    return {"enum": list(contract.classes)} if contract.task == "multiclass" else {"type": "number"}


def label(contract: Contract) -> Schema:
    """One row's prediction as the model's own `predict` gives it."""
    return {"enum": list(contract.labels())} if contract.classes else {"type": "number"}


def probabilities() -> Schema:
    """One row's, in the order of the classes."""
    return {"type": "array", "items": {"type": "number"}}


def says(contract: Contract) -> str:
    """What the model answers where a protocol leaves it to the server."""
    if contract.task == "binary":
        return f"the probability of {contract.positive}"
    return "the class and the probability of each" if contract.task == "multiclass" else "the value"

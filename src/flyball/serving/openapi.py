"""OpenAPI 3.1 of the routes, with the real features of every live model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyball.engine.contract import Contract, Feature, Kind
from flyball.serving.problem import KINDS, phrase
from flyball.serving.routes import MODEL, ROUTES, Route

_JSON_TYPES: Mapping[Kind, str] = {"number": "number", "integer": "integer", "boolean": "boolean", "category": "string"}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
#: levels of a category that the document lists.
_LEVELS = 50


def openapi(models: Mapping[str, tuple[int, Contract]]) -> dict[str, Any]:
    """The document for what is live now: model -> (version, contract)."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        for name in models if MODEL in route.path else (None,):
            path = route.path.replace(MODEL, name) if name else route.path
            operation = _operation(route, *((name, *models[name]) if name else (None, 0, None)))
            paths.setdefault(path, {})[route.method.lower()] = operation
    schemas = {f"{name}-row": row_schema(contract) for name, (_, contract) in models.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flyball", "version": "1", "description": "Predictions, and what came true of them."},
        "paths": paths,
        "components": {"schemas": {**schemas, **_SHARED}},
    }


def row_schema(contract: Contract) -> dict[str, Any]:
    """JSON Schema of one row: every feature required, nothing else allowed; ranges seen in training as notes."""
    return {
        "type": "object",
        "properties": {feature.name: _feature(feature) for feature in contract.features},
        "required": list(contract.names()),
        "additionalProperties": False,
        "examples": [dict(contract.example)],
    }


def _feature(feature: Feature) -> dict[str, Any]:
    kind = _JSON_TYPES[feature.kind]
    schema: dict[str, Any] = {"type": [kind, "null"] if feature.nullable else kind}
    if feature.low is not None and feature.high is not None:
        # Not minimum and maximum: values outside are answered, and watched.
        schema["description"] = f"In training: {feature.low:g} to {feature.high:g}."
        schema["x-range-seen"] = [feature.low, feature.high]
    if feature.levels:
        shown = feature.levels[:_LEVELS]
        more = f", and {len(feature.levels) - _LEVELS} more" if len(feature.levels) > _LEVELS else ""
        schema["description"] = f"In training: {', '.join(shown)}{more}."
        schema["x-levels-seen"] = list(shown)
    return schema


def _operation(route: Route, model: str | None, version: int, contract: Contract | None) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": route.summary, "operationId": f"{route.name}{'-' + model if model else ''}"}
    if contract is not None and route.name == "predict":
        operation["description"] = f"Version {version} is live; it answers {_says(contract)}."
        operation["requestBody"] = _body(_predict_request(contract), {"inputs": [dict(contract.example)]})
        operation["responses"] = _responses(200, _answer(contract), 400, 413, 422, 503, 504)
    elif route.name == "outcomes":
        example = {"outcomes": [{"id": "an id from an answer", "value": 1}]}
        operation["requestBody"] = _body({"$ref": "#/components/schemas/Outcomes"}, example)
        operation["responses"] = _responses(202, {"$ref": "#/components/schemas/Accepted"}, 400, 413, 422, 503)
    else:
        operation["responses"] = _responses(200, None, *((503,) if route.name == "readyz" else ()))
    return operation


def _says(contract: Contract) -> str:
    if contract.task == "binary":
        return f"the probability of {contract.positive}"
    return "the class and the probability of each" if contract.task == "multiclass" else "the value"


def _predict_request(contract: Contract) -> dict[str, Any]:
    row = {"$ref": f"#/components/schemas/{contract.model}-row"}
    split = {
        "type": "object",
        "properties": {
            "columns": {"type": "array", "items": {"enum": list(contract.names())}},
            "data": {"type": "array", "items": {"type": "array"}},
        },
        "required": ["columns", "data"],
        "additionalProperties": False,
    }
    text = {"type": "string"}
    time = {"type": "string", "format": "date-time"}
    return {
        "type": "object",
        "properties": {
            "inputs": {"oneOf": [{"type": "array", "items": row, "minItems": 1}, split]},
            "key": {
                "description": "The entity, of all rows or of each.",
                "oneOf": [text, {"type": "array", "items": text}],
            },
            "timestamp": {
                "description": "When it happened, of all rows or of each; without it, now.",
                "oneOf": [time, {"type": "array", "items": time}],
            },
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }


def _answer(contract: Contract) -> dict[str, Any]:
    item = {"enum": list(contract.classes)} if contract.task == "multiclass" else {"type": "number"}
    properties: dict[str, Any] = {
        "model": {"const": contract.model},
        "version": {"type": "integer"},
        "variant": {"type": "string"},
        "predictions": {"type": "array", "items": item},
        "ids": {"type": "array", "items": {"type": "string"}},
    }
    if contract.task == "multiclass":
        properties["probabilities"] = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _responses(good: int, schema: dict[str, Any] | None, *bad: int) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": schema}}} if schema else {}
    responses: dict[str, Any] = {str(good): {"description": phrase(good), **content}}
    for status in bad:
        titles = " or ".join(title for code, title in KINDS.values() if code == status)
        problem = {"application/problem+json": {"schema": _PROBLEM}}
        responses[str(status)] = {"description": titles, "content": problem}
    return responses


_SHARED: dict[str, Any] = {
    "Outcomes": {
        "type": "object",
        "properties": {
            "outcomes": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "description": "Names a prediction by its id, or an entity by its key.",
                    "properties": {
                        "id": {"type": "string"},
                        "key": {"type": "string"},
                        "name": {"type": "string", "default": "label"},
                        "value": {"type": ["number", "boolean", "string", "null"]},
                        "timestamp": {"type": "string", "format": "date-time"},
                    },
                    "required": ["value"],
                    "oneOf": [{"required": ["id"]}, {"required": ["key"]}],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["outcomes"],
        "additionalProperties": False,
    },
    "Accepted": {
        "type": "object",
        "properties": {
            "accepted": {"type": "integer"},
            "ids": {"type": "array", "items": {"type": "string"}},
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"loc": {"type": "array"}, "msg": {"type": "string"}},
                },
            },
            "request_id": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail", "errors"],
    },
}

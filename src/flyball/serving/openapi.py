"""OpenAPI 3.1 of the routes, with the real features of every live model. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flyball.engine.contract import Contract
from flyball.serving.problem import KINDS, phrase
from flyball.serving.protocols.dialect import Dialect
from flyball.serving.protocols.schemas import row_schema
from flyball.serving.routes import INSIDE, MODEL, VERSION, Route

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
#: what any predict request may be refused with; what a page of a model's inside is for want of a token.
_REFUSALS = (400, 401, 403, 413, 415, 422, 503, 504)
_UNKNOWN = (401, 403)
#: a token, or none where none is asked for.
_SECURITY: list[dict[str, list[str]]] = [{}, {"token": []}]
_TARGET = "X-Amzn-SageMaker-Target-Model"

#: model -> its live version and what that takes.
Models = Mapping[str, tuple[int, Contract]]


def openapi(models: Models, routes: Sequence[Route], hidden: Sequence[str] = ()) -> dict[str, Any]:
    """The document for what is live now. `hidden`: models that are left out for want of a token."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path, about in _places(route, models):
            paths.setdefault(path, {})[route.method.lower()] = _operation(route, about)
    schemas = {f"{name}-row": row_schema(contract) for name, (_, contract) in models.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flyball", "version": "1", "description": "Predictions, and what came true of them."},
        **({"x-models-hidden": list(hidden)} if hidden else {}),
        "paths": paths,
        "components": {
            "schemas": {**schemas, **_SHARED},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _places(route: Route, models: Models) -> Iterable[tuple[str, Models]]:
    """The real paths of a route, each with the models that it is about."""
    if MODEL not in route.path:
        return [(route.path, models if route.picks else {})]
    return [
        (route.path.replace(MODEL, name).replace(VERSION, str(version)), {name: (version, contract)})
        for name, (version, contract) in models.items()
    ]


def _operation(route: Route, about: Models) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": "-".join([route.dialect.name if route.dialect else route.name, *_told_apart(route, about)]),
        "tags": [route.dialect.name if route.dialect else "server"],
    }
    if route.picks and len(about) > 1:
        operation["parameters"] = _picking(about)
    missing = (404, 503) if MODEL in route.path or route.picks else ()
    if route.dialect is not None and about:
        operation |= _predicting(route.dialect, about)
    elif route.name == "outcomes":
        example = {"outcomes": [{"id": "an id from an answer", "value": 1}]}
        schema = {"$ref": "#/components/schemas/Outcomes"}
        operation["requestBody"] = _body({"application/json": (schema, example)})
        operation["security"] = _SECURITY
        accepted = _json({"$ref": "#/components/schemas/Accepted"})
        operation["responses"] = _responses(202, accepted, 404, *_REFUSALS)
    else:
        ready = (503,) if route.name in ("readyz", "v2-ready") else ()
        inside = _UNKNOWN if route.name in INSIDE else ()
        if inside:
            operation["security"] = _SECURITY
        operation["responses"] = _responses(200, {}, *missing, *ready, *inside)
    return operation


def _told_apart(route: Route, about: Models) -> list[str]:
    """What makes an operation's id its own."""
    if route.picks:
        return [] if route.dialect else [route.path.strip("/").replace("/", "-")]
    return [*about, *(["version"] if VERSION in route.path else [])]


def _picking(about: Models) -> list[dict[str, Any]]:
    schema = {"enum": list(about)}
    return [
        {"in": "query", "name": "model", "schema": schema, "required": True, "description": "One of several models."},
        {"in": "header", "name": _TARGET, "schema": schema, "description": "The same, before the query."},
    ]


def _predicting(dialect: Dialect, about: Models) -> dict[str, Any]:
    """Body, answers and words of a predict route; where several models may be picked, those of any."""
    described = {name: dialect.describe(contract) for name, (_, contract) in about.items()}
    live = [f"{name}: version {about[name][0]} is live; it answers {item.says}." for name, item in described.items()]
    first = next(iter(described.values()))
    requests = {
        media: (_any(item.requests[media][0] for item in described.values()), example)
        for media, (_, example) in first.requests.items()
    }
    answers = {media: _any(item.answers[media] for item in described.values()) for media in first.answers}
    return {
        "description": " ".join([*live, first.note]),
        "x-models": list(about),
        "security": _SECURITY,
        "requestBody": _body(requests),
        "responses": _responses(200, answers, 404, *_REFUSALS),
    }


def _any(schemas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    found = list(schemas)
    return found[0] if len(found) == 1 else {"anyOf": found}


def _json(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"application/json": schema}


def _body(requests: Mapping[str, tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    content = {media: {"schema": schema, "example": example} for media, (schema, example) in requests.items()}
    return {"required": True, "content": content}


def _responses(good: int, answers: Mapping[str, dict[str, Any]], *bad: int) -> dict[str, Any]:
    content = {"content": {media: {"schema": schema} for media, schema in answers.items()}} if answers else {}
    responses: dict[str, Any] = {str(good): {"description": phrase(good), **content}}
    for status in sorted(set(bad)):
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

"""The one table of routes: what is dispatched, what /openapi.json and /docs list, what a 404 or 405 names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from flyball.serving.protocols.dialect import Dialect
from flyball.serving.protocols.dialects import DIALECTS, VERTEX

MODEL = "{model}"
VERSION = "{version}"

RouteName = Literal[
    "predict",
    "outcomes",
    "models",
    "livez",
    "readyz",
    "metrics",
    "docs",
    "openapi",
    "v1-models",
    "v1-model",
    "v1-metadata",
    "v2",
    "v2-live",
    "v2-ready",
    "v2-models",
    "v2-index",
    "v2-model",
    "v2-model-ready",
    "ping",
    "version",
    "execution-parameters",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path."""

    method: Literal["GET", "POST"]
    #: path with at most one `{model}`, and one `{version}` of it.
    path: str
    name: RouteName
    summary: str
    #: of a predict route, its protocol.
    dialect: Dialect | None = None
    #: whether it is about one model that the path does not name: the only one, or one that the request picks.
    picks: bool = False


def _get(path: str, name: RouteName, summary: str, *, picks: bool = False) -> Route:
    return Route(method="GET", path=path, name=name, summary=summary, picks=picks)


def _predict(path: str, dialect: Dialect) -> Route:
    return Route(
        method="POST",
        path=path,
        name="predict",
        summary=dialect.summary,
        dialect=dialect,
        picks=MODEL not in path,
    )


ROUTES = (
    *(_predict(path, dialect) for dialect in DIALECTS for path in dialect.paths),
    Route(method="POST", path="/models/{model}/outcomes", name="outcomes", summary="Tell what came true."),
    _get("/models", "models", "The models served here and their live versions."),
    _get("/livez", "livez", "The process is alive."),
    _get("/readyz", "readyz", "Requests can be answered; says what is degraded."),
    _get("/metrics", "metrics", "Prometheus metrics of all workers."),
    _get("/docs", "docs", "This server, for people."),
    _get("/openapi.json", "openapi", "This server, for programs."),
    _get("/v1/models", "v1-models", "The models served here, for KServe's clients."),
    _get("/v1/models/{model}", "v1-model", "Whether a model can answer."),
    _get("/v1/models/{model}/versions/{version}", "v1-model", "The same of the live version."),
    _get("/v1/models/{model}/metadata", "v1-metadata", "A model's signature, for TensorFlow Serving's clients."),
    _get("/v1/models/{model}/versions/{version}/metadata", "v1-metadata", "The same of the live version."),
    _get("/v2", "v2", "What this server is."),
    _get("/v2/health/live", "v2-live", "The process is alive."),
    _get("/v2/health/ready", "v2-ready", "Requests can be answered."),
    _get("/v2/models", "v2-models", "The models served here, for KServe's clients."),
    Route(method="POST", path="/v2/repository/index", name="v2-index", summary="The same, for Triton's clients."),
    _get("/v2/models/{model}", "v2-model", "A model's input and output tensors."),
    _get("/v2/models/{model}/ready", "v2-model-ready", "Whether a model can answer."),
    _get("/v2/models/{model}/versions/{version}", "v2-model", "The same of the live version."),
    _get("/v2/models/{model}/versions/{version}/ready", "v2-model-ready", "The same of the live version."),
    _get("/ping", "ping", "The model can answer: for SageMaker and MLflow.", picks=True),
    _get("/health", "ping", "The model can answer: for MLflow.", picks=True),
    _get("/version", "version", "The version of Flyball."),
    _get("/execution-parameters", "execution-parameters", "How SageMaker's batch transform should ask."),
)


#: those about one model that show more of it than its name, versions and state.
INSIDE: frozenset[RouteName] = frozenset({"v1-metadata", "v2-model"})


def routes(*, vertex_predict: str = "", vertex_health: str = "") -> tuple[Route, ...]:
    """All routes of a server; those that Vertex AI names (whole paths, "": none) stand before any other there."""
    vertex = []
    if vertex_predict:
        vertex.append(_predict(vertex_predict, VERTEX))
    if vertex_health:
        vertex.append(_get(vertex_health, "ping", "The model can answer: for Vertex AI.", picks=True))
    taken = {(route.method, route.path) for route in vertex}
    return (*(route for route in ROUTES if (route.method, route.path) not in taken), *vertex)


class Found(NamedTuple):
    """What is at a path."""

    #: by method.
    routes: Mapping[str, Route]
    model: str | None
    version: str | None


class Table:
    """Routes, found by path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
            if route.method == "GET":
                by_path[route.path]["HEAD"] = route
        self._whole = {path: found for path, found in by_path.items() if MODEL not in path}
        self._patterns = [(_pattern(path), found) for path, found in by_path.items() if MODEL in path]

    def match(self, path: str) -> Found | None:
        """What is at a path; None where there is nothing."""
        if path in self._whole:
            return Found(self._whole[path], None, None)
        for pattern, found in self._patterns:
            if names := pattern.fullmatch(path):
                return Found(found, names["model"], names.groupdict().get("version"))
        return None


def _pattern(path: str) -> re.Pattern[str]:
    text = re.escape(path)
    for name in (MODEL, VERSION):
        text = text.replace(re.escape(name), f"(?P<{name[1:-1]}>[^/:]+)")
    return re.compile(text)


_TABLE = Table(ROUTES)


def match(path: str) -> Found | None:
    """`Table.match` of the routes that every server has."""
    return _TABLE.match(path)

"""The one table of routes: what is dispatched, what /openapi.json and /docs list, what a 404 or 405 names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MODEL = "{model}"

RouteName = Literal["predict", "outcomes", "models", "livez", "readyz", "metrics", "docs", "openapi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path."""

    method: Literal["GET", "POST"]
    #: path with at most one `{model}`.
    path: str
    name: RouteName
    summary: str


ROUTES = (
    Route(method="POST", path="/models/{model}/predict", name="predict", summary="Predict rows with the live version."),
    Route(method="POST", path="/models/{model}/outcomes", name="outcomes", summary="Tell what came true."),
    Route(method="GET", path="/models", name="models", summary="The models served here and their live versions."),
    Route(method="GET", path="/livez", name="livez", summary="The process is alive."),
    Route(method="GET", path="/readyz", name="readyz", summary="Requests can be answered; says what is degraded."),
    Route(method="GET", path="/metrics", name="metrics", summary="Prometheus metrics of all workers."),
    Route(method="GET", path="/docs", name="docs", summary="This server, for people."),
    Route(method="GET", path="/openapi.json", name="openapi", summary="This server, for programs."),
)


def _by_path() -> dict[str, dict[str, Route]]:
    table: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        table.setdefault(route.path, {})[route.method] = route
        if route.method == "GET":
            table[route.path]["HEAD"] = route
    return table


_TABLE = _by_path()


def match(path: str) -> tuple[Mapping[str, Route], str | None] | None:
    """The routes of a path by method, and the model it names; None where there is no such path."""
    found = _TABLE.get(path)
    if found is not None and MODEL not in path:
        return found, None
    start, _, rest = path[1:].partition("/")
    model, _, end = rest.partition("/")
    found = _TABLE.get(f"/{start}/{MODEL}/{end}") if model else None
    return None if found is None else (found, model)

"""Which model and which protocol a request is for. Built at a switch, then read only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from flyball.serving.problem import Problem, later
from flyball.serving.routes import MODEL, VERSION, Found, Table

if TYPE_CHECKING:
    from flyball.serving.protocols.dialect import Dialect
    from flyball.serving.requests import Headers
    from flyball.serving.served import Served

#: how a request to a route without a model's name picks one of several.
_TARGET = b"x-amzn-sagemaker-target-model"
#: when a model that could not be loaded is worth asking for again, seconds.
_AGAIN_S = 5


class Target(NamedTuple):
    """Where a predict request goes."""

    #: None: the path names no model; `Directory.picked` does.
    served: Served | None
    dialect: Dialect


class Directory:
    """The models of a worker, by name and by path."""

    def __init__(self, table: Table, served: Mapping[str, Served], absent: Mapping[str, str]) -> None:
        self._served = served
        self._absent = absent
        #: whole path of a predict request -> where it goes.
        self.predict: Mapping[str, Target] = {
            path: Target(item, route.dialect)
            for route in table.routes
            if route.dialect is not None
            for path, item in _paths(route.path, served)
        }

    def named(self, model: str) -> Served:
        """The model of that name. Raises `Problem` (404, 503)."""
        if model in self._absent:
            raise later("not-loaded", self._absent[model], _AGAIN_S)
        if model not in self._served:
            raise Problem("no-such-model", f"no such model; {_there(self._served)}")
        return self._served[model]

    def picked(self, headers: Headers, query: bytes) -> Served:
        """The model that the request picks, else the only one. Raises `Problem` (404, 503)."""
        given = headers.get(_TARGET, b"").decode("latin-1")
        chosen = given or parse_qs(query.decode("latin-1")).get("model", [""])[0]
        if chosen:
            return self.named(chosen)
        models = [*self._served, *self._absent]
        if len(models) == 1:
            return self.named(models[0])
        pick = "; pick one with ?model= or X-Amzn-SageMaker-Target-Model" if models else ""
        raise Problem("no-such-model", f"{_there(models)}{pick}")

    def of(self, found: Found, headers: Headers, query: bytes) -> Served | None:
        """The model that a route is about; None where it is about none. Raises `Problem` (404, 503)."""
        if found.model is None:
            picks = any(route.picks for route in found.routes.values())
            return self.picked(headers, query) if picks else None
        served = self.named(found.model)
        if found.version is not None and found.version != str(served.version):
            raise Problem("no-such-version", f"version {served.version} is live, and the only one that answers")
        return served


def _paths(path: str, served: Mapping[str, Served]) -> list[tuple[str, Served | None]]:
    if MODEL not in path:
        return [(path, None)]
    return [(path.replace(MODEL, name).replace(VERSION, str(item.version)), item) for name, item in served.items()]


def _there(models: Collection[str]) -> str:
    return f"there is: {', '.join(sorted(models))}" if models else "none is deployed yet"

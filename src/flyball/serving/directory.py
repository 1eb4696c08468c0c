"""Which model and which protocol a request is for. Built at a switch, then read only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from flyball.serving.problem import Problem, later
from flyball.serving.protocols.dialects import spoken_at
from flyball.serving.routes import MODEL, VERSION, Found, Table

if TYPE_CHECKING:
    from flyball.serving.held import Held
    from flyball.serving.protocols.dialect import Dialect
    from flyball.serving.requests import Headers
    from flyball.serving.served import Served

#: how a request to a route without a model's name picks one of several.
_TARGET = b"x-amzn-sagemaker-target-model"
#: when a model that could not be loaded is worth asking for again, seconds.
_AGAIN_S = 5


class Target(NamedTuple):
    """Where a predict request goes."""

    #: None: the path names no model, or one that is not loaded yet.
    served: Served | None
    dialect: Dialect
    #: that the path names; None: `Directory.picked` does.
    model: str | None


class Directory:
    """The models of a worker, by name and by path."""

    def __init__(
        self, table: Table, held: Mapping[str, Held], served: Mapping[str, Served], absent: Mapping[str, str]
    ) -> None:
        """`served`: those of `held` that are in memory. `absent`: deployed, but not to be loaded -> why."""
        self._table = table
        self._held = held
        self._absent = absent
        #: whole path of a predict request -> where it goes.
        self.predict: Mapping[str, Target] = {
            path: Target(served.get(model or ""), route.dialect, model)
            for route in table.routes
            if route.dialect is not None
            for path, model in _paths(route.path, held)
        }

    def model_at(self, path: str) -> str | None:
        """The deployed model that a path names, loaded or not."""
        found = self._table.match(path)
        model = found.model if found else None
        return model if model in self._held or model in self._absent else None

    def dialect_at(self, path: str) -> Dialect:
        """The protocol in whose words a request to `path` is refused."""
        target = self.predict.get(path)
        return target.dialect if target else spoken_at(path)

    def named(self, model: str) -> Held:
        """The model of that name. Raises `Problem` (404, 503)."""
        if model in self._absent:
            raise later("not-loaded", self._absent[model], _AGAIN_S)
        if model not in self._held:
            raise Problem("no-such-model", f"no such model; {_there(self._held)}")
        return self._held[model]

    def picked(self, headers: Headers, query: bytes) -> Held:
        """The model that the request picks, else the only one. Raises `Problem` (404, 503)."""
        given = headers.get(_TARGET, b"").decode("latin-1")
        chosen = given or parse_qs(query.decode("latin-1")).get("model", [""])[0]
        if chosen:
            return self.named(chosen)
        models = [*self._held, *self._absent]
        if len(models) == 1:
            return self.named(models[0])
        pick = "; pick one with ?model= or X-Amzn-SageMaker-Target-Model" if models else ""
        raise Problem("no-such-model", f"{_there(models)}{pick}")

    def of(self, found: Found, headers: Headers, query: bytes) -> Held | None:
        """The model that a route is about; None where it is about none. Raises `Problem` (404, 503)."""
        if found.model is None:
            picks = any(route.picks for route in found.routes.values())
            return self.picked(headers, query) if picks else None
        held = self.named(found.model)
        live = held.deployment.live
        if found.version is not None and found.version != str(live):
            raise Problem("no-such-version", f"version {live} is live, and the only one that answers")
        return held


def _paths(path: str, held: Mapping[str, Held]) -> list[tuple[str, str | None]]:
    if MODEL not in path:
        return [(path, None)]
    return [
        (path.replace(MODEL, name).replace(VERSION, str(item.deployment.live)), name) for name, item in held.items()
    ]


def _there(models: Collection[str]) -> str:
    return f"there is: {', '.join(sorted(models))}" if models else "none is deployed yet"

"""The answers that are not predictions: health, the list of models, metrics, documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING

from flyball.serving import metrics
from flyball.serving.answer import Answer, json_answer
from flyball.serving.inventory import OF_MODEL, OF_SERVER
from flyball.serving.openapi import openapi
from flyball.serving.readiness import readyz
from flyball.serving.routes import INSIDE

if TYPE_CHECKING:
    from flyball.serving.app import App
    from flyball.serving.held import Held
    from flyball.serving.requests import Headers
    from flyball.serving.routes import RouteName


async def page(name: RouteName, app: App, held: Held | None, headers: Headers) -> Answer:
    """The answer of a route that takes no body; `held` is the model that it is about. Raises `Problem` (401, 403, 503).

    What shows more of a model than its name, versions and state asks for the token that its predictions ask for.
    """
    if held is not None:
        if name in INSIDE:
            app.deployed.door.check(headers, "predict", held.deployment.model)
        return OF_MODEL[name](held)
    if name in OF_SERVER:
        return OF_SERVER[name](app)
    return await _PAGES[name](app, headers)


async def livez(_app: App, _: Headers) -> Answer:
    return json_answer({"alive": True})


async def ready(app: App, _: Headers) -> Answer:
    return readyz(app)


async def models(app: App, headers: Headers) -> Answer:
    return json_answer(
        {
            "models": [
                {
                    "name": name,
                    "version": held.deployment.live,
                    "generation": held.deployment.generation,
                    "shadow": list(held.deployment.shadow),
                    "task": held.contract.task,
                    "features": list(held.contract.names()),
                }
                for name, held in _open_to(app, headers).items()
            ]
        }
    )


async def all_metrics(app: App, _: Headers) -> Answer:
    loop = asyncio.get_running_loop()
    text = await loop.run_in_executor(None, metrics.exposition, app.metrics_folder)
    return Answer(body=text, content_type=metrics.CONTENT_TYPE)


async def docs(_app: App, _: Headers) -> Answer:
    text = (resources.files("flyball.serving") / "docs.html").read_bytes()
    return Answer(body=text, content_type=b"text/html; charset=utf-8")


async def described(app: App, headers: Headers) -> Answer:
    contracts = {name: (held.deployment.live, held.contract) for name, held in _open_to(app, headers).items()}
    hidden = [name for name in app.deployed.held if name not in contracts]
    return json_answer(openapi(contracts, app.table.routes, hidden))


def _open_to(app: App, headers: Headers) -> dict[str, Held]:
    """The models whose inside whoever asks may see."""
    return {name: held for name, held in app.deployed.held.items() if app.deployed.door.opens(headers, "predict", name)}


_PAGES: Mapping[RouteName, Callable[[App, Headers], Awaitable[Answer]]] = {
    "livez": livez,
    "readyz": ready,
    "models": models,
    "metrics": all_metrics,
    "docs": docs,
    "openapi": described,
}

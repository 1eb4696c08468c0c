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

if TYPE_CHECKING:
    from flyball.serving.app import App
    from flyball.serving.routes import RouteName
    from flyball.serving.served import Served


async def page(name: RouteName, app: App, served: Served | None) -> Answer:
    """The answer of a route that takes no body; `served` is the model that it is about."""
    if served is not None:
        return OF_MODEL[name](served)
    if name in OF_SERVER:
        return OF_SERVER[name](app)
    return await _PAGES[name](app)


async def livez(_app: App) -> Answer:
    return json_answer({"alive": True})


async def readyz(app: App) -> Answer:
    """200 while anything can be answered; what is not as it should be stands in `degraded`."""
    served = {
        name: {"version": loaded.deployment.live, "generation": loaded.deployment.generation}
        for name, loaded in app.roster.models.items()
    }
    ready = bool(served) and not app.draining
    degraded = [*app.roster.degraded, *_journal_faults(app)]
    if app.draining:
        degraded.append("draining: this worker is about to stop")
    if not served:
        degraded.append("no model can answer: none is deployed, or none could be loaded")
    return json_answer({"ready": ready, "models": served, "degraded": degraded}, status=200 if ready else 503)


async def models(app: App) -> Answer:
    return json_answer(
        {
            "models": [
                {
                    "name": name,
                    "version": loaded.deployment.live,
                    "generation": loaded.deployment.generation,
                    "shadow": list(loaded.deployment.shadow),
                    "task": loaded.engines[loaded.deployment.live].contract.task,
                    "features": list(loaded.engines[loaded.deployment.live].contract.names()),
                }
                for name, loaded in app.roster.models.items()
            ]
        }
    )


async def all_metrics(app: App) -> Answer:
    loop = asyncio.get_running_loop()
    text = await loop.run_in_executor(None, metrics.exposition, app.metrics_folder)
    return Answer(body=text, content_type=metrics.CONTENT_TYPE)


async def docs(_app: App) -> Answer:
    text = (resources.files("flyball.serving") / "docs.html").read_bytes()
    return Answer(body=text, content_type=b"text/html; charset=utf-8")


async def described(app: App) -> Answer:
    contracts = {
        name: (loaded.deployment.live, loaded.engines[loaded.deployment.live].contract)
        for name, loaded in app.roster.models.items()
    }
    return json_answer(openapi(contracts, app.table.routes))


def _journal_faults(app: App) -> list[str]:
    return [fault.what for fault in app.journals.faults()]


_PAGES: Mapping[RouteName, Callable[[App], Awaitable[Answer]]] = {
    "livez": livez,
    "readyz": readyz,
    "models": models,
    "metrics": all_metrics,
    "docs": docs,
    "openapi": described,
}

"""Whether this worker can answer, and what is not as it should be: `/readyz`.

Probes have no token, so where one is asked for anywhere, reasons stay in the log: they may name files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flyball.engine.native import NativeEngine
from flyball.serving.answer import Answer, json_answer
from flyball.serving.held import LOG, Lack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyball.serving.access import Door
    from flyball.serving.app import App
    from flyball.serving.held import Held


def readyz(app: App) -> Answer:
    """200 while anything can be answered; what is not as it should be stands in `degraded`."""
    deployed = app.deployed
    models = {name: _about(held) for name, held in deployed.held.items()}
    ready = bool(models) and not app.draining
    lacks = [*deployed.roster.lacks, *_of_models(deployed.held.values())]
    degraded = [
        *dict.fromkeys(said(lack, deployed.door) for lack in lacks),
        *(fault.what for fault in app.journals.faults()),
    ]
    if app.draining:
        degraded.append("draining: this worker is about to stop")
    if not models:
        degraded.append("no model can answer: none is deployed, or none could be loaded")
    return json_answer({"ready": ready, "models": models, "degraded": degraded}, status=200 if ready else 503)


def said(lack: Lack, door: Door) -> str:
    """What whoever asks may know of it."""
    return str(lack._replace(why=LOG) if lack.why and door.guarded else lack)


def away(held: Held) -> list[int]:
    """Versions whose process has ended and is being started again."""
    engines = held.loaded.engines if held.loaded else {}
    return [
        number for number, engine in engines.items() if isinstance(engine, NativeEngine) and engine.process.pid is None
    ]


def _about(held: Held) -> dict[str, Any]:
    """A model's version, and its state where it is not the usual one."""
    live = held.deployment.live
    about: dict[str, Any] = {"version": live, "generation": held.deployment.generation}
    if held.loaded is None:
        about["state"] = "not loaded yet"
    elif live in away(held):
        about["state"] = "being started again"
    return about


def _of_models(models: Iterable[Held]) -> Iterable[Lack]:
    for held in models:
        yield from held.lacks
        for number in away(held):
            yield Lack(f"{held.deployment.model}: v{number}'s process has ended and is being started again")

"""What the clients of other protocols ask besides predictions: who is there, is it ready, what does it take."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from flyball.serving.answer import Answer, json_answer
from flyball.serving.problem import later
from flyball.serving.protocols import v1, v2
from flyball.serving.readiness import away

if TYPE_CHECKING:
    from flyball.serving.app import App
    from flyball.serving.held import Held

_TEXT = b"text/plain; charset=utf-8"
#: SageMaker's limits of a batch transform: MB a request, and MB of all requests at a time.
_MOST_MB = 6
_MOST_MB_TOGETHER = 100


def v1_models(app: App) -> Answer:
    return json_answer({"models": list(app.deployed.held)})


def v1_model(held: Held) -> Answer:
    """KServe's answer and TensorFlow Serving's in one. Raises `Problem` (503)."""
    _not_away(held)
    status = {
        "version": str(held.deployment.live),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return json_answer({"name": held.deployment.model, "ready": True, "model_version_status": [status]})


def v1_metadata(held: Held) -> Answer:
    return json_answer(v1.metadata(held.contract, held.deployment.live))


def v2_server(_: App) -> Answer:
    return json_answer({"name": "flyball", "version": installed("flyball"), "extensions": ["binary_tensor_data"]})


def v2_live(_: App) -> Answer:
    return json_answer({"live": True})


def v2_ready(app: App) -> Answer:
    ready = bool(app.deployed.held) and not app.draining
    return json_answer({"ready": ready}, status=200 if ready else 503)


def v2_index(app: App) -> Answer:
    """Triton's list of its repository."""
    return json_answer(
        [
            {
                "name": name,
                "version": str(held.deployment.live),
                "state": "UNAVAILABLE" if held.deployment.live in away(held) else "READY",
                "reason": "",
            }
            for name, held in app.deployed.held.items()
        ]
    )


def v2_model(held: Held) -> Answer:
    return json_answer(v2.metadata(held.contract, held.deployment.live))


def v2_model_ready(held: Held) -> Answer:
    """One that is not loaded yet is ready: to be asked is all it waits for. Raises `Problem` (503)."""
    _not_away(held)
    return json_answer({"name": held.deployment.model, "ready": True})


def ping(_: Held) -> Answer:
    """200 even while a model's process is away: SageMaker would replace the machine, which takes longer."""
    return Answer(body=b"\n", content_type=_TEXT)


def version(_: App) -> Answer:
    return Answer(body=installed("flyball").encode(), content_type=_TEXT)


def execution_parameters(app: App) -> Answer:
    """As many requests at a time as there are cores; both limits of SageMaker's kept."""
    most_mb = max(1, min(_MOST_MB, app.options.max_body_bytes // 2**20))
    at_a_time = min(os.cpu_count() or 1, _MOST_MB_TOGETHER // most_mb)
    return json_answer(
        {"MaxConcurrentTransforms": at_a_time, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": most_mb}
    )


def _not_away(held: Held) -> None:
    if held.deployment.live in away(held):
        raise later("model-away", "the model's process has died and is being started again")


#: route -> its answer, of those about the server and of those about one model.
OF_SERVER: Mapping[str, Callable[[App], Answer]] = {
    "v1-models": v1_models,
    "v2": v2_server,
    "v2-live": v2_live,
    "v2-ready": v2_ready,
    "v2-models": v1_models,
    "v2-index": v2_index,
    "version": version,
    "execution-parameters": execution_parameters,
}
OF_MODEL: Mapping[str, Callable[[Held], Answer]] = {
    "v1-model": v1_model,
    "v1-metadata": v1_metadata,
    "v2-model": v2_model,
    "v2-model-ready": v2_model_ready,
    "ping": ping,
}

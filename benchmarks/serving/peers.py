"""The peers: how each is asked, in the form it answers fastest. How each is served: `benchmarks/peers/NAME/serve.py`."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.serving import environments, models
from benchmarks.serving.load import Request
from benchmarks.serving.servers import ENV, Server, free_port, running

Rows = npt.NDArray[np.float64]
#: model and rows -> path and JSON of a request.
Ask = Callable[[str, Rows], tuple[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another server of the same models."""

    #: of its folder under `benchmarks/peers`.
    name: str
    title: str
    #: the distribution whose version is told.
    package: str
    ask: Ask

    def request(self, port: int, model: str, rows: Rows) -> Request:
        path, value = self.ask(model, rows)
        return Request(port=port, path=path, body=orjson.dumps(value))

    def why_fair(self) -> str:
        """What its serve.py says of itself."""
        source = (environments.PEERS / self.name / "serve.py").read_text()
        return " ".join((ast.get_docstring(ast.parse(source)) or "").split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A peer that can be started: environment there, models fitted."""

    peer: Peer
    environment: Path
    version: str


def prepare(peer: Peer) -> Prepared:
    """Install it and fit its models where that was not done before. Raises `CannotInstall`."""
    folder = environments.install(peer.name)
    python = environments.python(folder)
    fitted = subprocess.run(
        (str(python), str(models.__file__), str(folder / "models")), capture_output=True, text=True, check=False
    )
    if fitted.returncode:
        raise environments.CannotInstall(fitted.stderr.strip().rpartition("\n")[2])
    version = environments.versions(python, [peer.package]).get(peer.package, "?")
    return Prepared(peer=peer, environment=folder, version=version)


@contextmanager
def serving(prepared: Prepared, model: str, log: Path) -> Iterator[Server]:
    """The peer with one worker, one model. It works in its own environment's folder."""
    folder, port = prepared.environment, free_port()
    script = environments.PEERS / prepared.peer.name / "serve.py"
    # Servers that start programs of their own find them on the path.
    env = {**ENV, "PATH": f"{folder / 'bin'}{os.pathsep}{ENV['PATH']}", "PYTHONPATH": ""}
    argv = (str(environments.python(folder)), str(script), str(folder / "models"), model, str(port))
    with running(argv, port, log, env=env, cwd=folder) as server:
        yield server


def _fastapi(model: str, rows: Rows) -> tuple[str, Any]:
    del model
    if len(rows) == 1:
        return "/predict", dict(zip(models.FEATURES, rows[0].tolist(), strict=True))
    return "/predict_many", {"data": rows.tolist()}


def _mlserver(model: str, rows: Rows) -> tuple[str, Any]:
    tensor = {"name": "rows", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    asked: dict[str, Any] = {"inputs": [tensor]}
    if model != models.LIGHTGBM:  # whose runtime answers probabilities unasked
        asked["outputs"] = [{"name": "predict_proba"}]
    return f"/v2/models/{model}/infer", asked


def _litserve(model: str, rows: Rows) -> tuple[str, Any]:
    del model
    return "/predict", {"rows": rows.tolist()}


def _bentoml(model: str, rows: Rows) -> tuple[str, Any]:
    del model
    return "/predict", {"rows": rows.tolist()}


def _mlflow(model: str, rows: Rows) -> tuple[str, Any]:
    del model
    if len(rows) == 1:
        return "/invocations", {"inputs": rows.tolist()}
    return "/invocations", {"dataframe_split": {"columns": models.FEATURES, "data": rows.tolist()}}


FASTAPI = Peer(name="fastapi", title="FastAPI by hand", package="fastapi", ask=_fastapi)
PEERS = (
    FASTAPI,
    Peer(name="mlserver", title="MLServer", package="mlserver", ask=_mlserver),
    Peer(name="litserve", title="LitServe", package="litserve", ask=_litserve),
    Peer(name="bentoml", title="BentoML", package="bentoml", ask=_bentoml),
    Peer(name="mlflow", title="mlflow models serve", package="mlflow", ask=_mlflow),
)

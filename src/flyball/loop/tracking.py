"""MLflow underneath: every run tracked, every version registered, aliases projected. Runs inside step processes only.

Idempotent by the run's id: a resumed run finds the MLflow run and the model version it already made.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unless somebody asks for it

import mlflow.pyfunc
import mlflow.sklearn
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # imported here, in the process that steps are forked from, not in each
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches
from sqlalchemy.orm import configure_mappers

from flyball.engine.graph_file import graph_bytes, graph_of, is_graph
from flyball.errors import Mistake
from flyball.pipeline.step import RunContext

# What every forked step would otherwise spend a second on anew: the mappers, and the map from modules to packages.
configure_mappers()
warn_dependency_requirement_mismatches(["numpy"])

#: of the texts that MLflow keeps.
LIMIT = 500


def track(
    model: Any, run: RunContext, name: str, uri: str, artifacts: str, bundle: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Log the run and register the model; MLflow's run id and the version number.

    `values`: params, metrics (numbers) and tags (text). `artifacts`: where a new experiment keeps its files.
    """
    client = MlflowClient(uri, uri)
    experiment = _experiment(client, name, artifacts)
    tracked = _run(client, experiment, run.id)
    made = client.search_model_versions(f"run_id='{tracked.info.run_id}'")
    if made:
        return {"run": tracked.info.run_id, "version": int(made[0].version)}
    identity = tracked.info.run_id
    now_ms = int(run.now.timestamp() * 1000)
    client.log_batch(
        identity,
        metrics=[Metric(key, float(value), now_ms, 0) for key, value in values["metrics"].items()],
        params=[Param(key, str(value)[:LIMIT]) for key, value in values["params"].items()],
        tags=[RunTag(key, str(value)[:LIMIT]) for key, value in values["tags"].items()],
    )
    saved = _saved(model, run, values["requirements"])
    client.log_artifacts(identity, str(saved), "model")
    if saved.is_relative_to(run.folder):
        shutil.rmtree(saved)
    client.log_artifacts(identity, str(run.path / bundle), "bundle")
    client.set_terminated(identity)
    ensure_model(client, name)
    version = client.create_model_version(
        name, f"{tracked.info.artifact_uri}/model", run_id=identity, tags={"flyball.run": run.id, **values["tags"]}
    )
    return {"run": identity, "version": int(version.version)}


def prepare(uri: str, artifacts: str, name: str) -> dict[str, Any]:
    """Open the store once, so that the schema is made by one process before several use it."""
    return {"experiment": _experiment(MlflowClient(uri, uri), name, artifacts)}


def _experiment(client: MlflowClient, name: str, artifacts: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=artifacts))


def _run(client: MlflowClient, experiment: str, run: str) -> Any:
    found = client.search_runs([experiment], f"tags.`flyball.run` = '{run}'", max_results=1)
    return found[0] if found else client.create_run(experiment, tags={"flyball.run": run}, run_name=run)


def ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _saved(model: Any, run: RunContext, requirements: list[str]) -> Any:
    """The model in its MLflow flavour, in the run's folder."""
    if isinstance(model, Path) and model.is_dir():
        return model  # it came in its flavour
    folder = run.folder / "mlflow-model"
    with warnings.catch_warnings():
        # mlflow warns about pickle and about its own defaults; both are chosen here on purpose.
        warnings.simplefilter("ignore")
        if is_graph(model):
            _save_graph(graph_of(graph_bytes(model)), str(folder))
        elif type(model).__module__.startswith("lightgbm"):
            import_module("mlflow.lightgbm").save_model(model, str(folder), pip_requirements=requirements)
        elif hasattr(model, "get_params"):
            mlflow.sklearn.save_model(
                model, str(folder), pip_requirements=requirements, serialization_format="cloudpickle"
            )
        else:
            raise Mistake(
                f"a {type(model).__name__} has no MLflow flavour here yet; return a scikit-learn compatible estimator, or "
                "an ONNX model"
            )
    return folder


def _save_graph(model: Any, folder: str) -> None:
    """As it came, with the packages that run it: those it was made with are not needed."""
    requirements = [f"{name}=={distribution_version(name)}" for name in ("onnx", "onnxruntime", "numpy")]
    flavour = import_module("mlflow.onnx")
    flavour.save_model(
        model,
        folder,
        pip_requirements=requirements,
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )

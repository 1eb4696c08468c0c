"""An adopted model in MLflow, in step processes only: linked where it is there already, else registered as a copy.

Idempotent by the run's id, as `loop.tracking` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from flyball.loop import tracking
from flyball.pipeline.step import RunContext


def track(
    found: Mapping[str, Any],
    run: RunContext,
    name: str,
    uri: str,
    artifacts: str,
    bundle: str,
    values: Mapping[str, Any],
    taken: list[int],
) -> dict[str, Any]:
    """MLflow's run id and the version number. `taken`: numbers that other versions have here."""
    client = MlflowClient(uri, uri)
    origin: Mapping[str, str] = found["origin"]
    there = origin.get("server") == uri and "version" in origin
    if there and origin["name"] == name and int(origin["version"]) not in taken:
        for key, value in {"flyball.run": run.id, **values["tags"]}.items():
            client.set_model_version_tag(name, origin["version"], key, str(value)[: tracking.LIMIT])
        return {"run": origin["run"] or None, "version": int(origin["version"])}
    if there:
        return {"run": origin["run"] or None, "version": _linked(client, name, origin, run, values)}
    return tracking.track(_files(found, run), run, name, uri, artifacts, bundle, values)


def _linked(
    client: MlflowClient, name: str, origin: Mapping[str, str], run: RunContext, values: Mapping[str, Any]
) -> int:
    """Another number for the files that a version of the same server has."""
    made = client.search_model_versions(f"name='{name}' and tags.`flyball.run` = '{run.id}'")
    if made:
        return int(made[0].version)
    tracking.ensure_model(client, name)
    source = client.get_model_version(origin["name"], origin["version"]).source or ""
    tags = {"flyball.run": run.id, **values["tags"]}
    return int(client.create_model_version(name, source, run_id=origin["run"] or "", tags=tags).version)


def _files(found: Mapping[str, Any], run: RunContext) -> Path:
    return run.path / str(found["path"])

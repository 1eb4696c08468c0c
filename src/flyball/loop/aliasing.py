"""MLflow's aliases and tags, made to say what Flyball's database says. Runs in step processes only: it imports MLflow.

Where a store is not one that `loop.unaided` knows. Apart from `loop.tracking`, which takes twice as long to import: after a
move by hand somebody waits for this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unless somebody asks for it

from mlflow.tracking import MlflowClient
from sqlalchemy.orm import configure_mappers

from flyball.loop.unaided import Told, say
from flyball.loop.unaided_file import HEAD, STAGE

# What a client loads at its first call, done here, in the process that steps are forked from: each would do it anew.
for _name in (
    "alembic.command",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
):
    import_module(_name)
configure_mappers()


def project_aliases(name: str, uri: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Make MLflow's aliases and tags say what Flyball's database says. `told`: of `unaided.Told`, versions as text."""
    stages = {int(number): stage for number, stage in told["stages"].items()}
    say(_Library(MlflowClient(uri, uri), name), name, Told(**{**told, "stages": stages}))
    return {}


def kept_heads(models: list[str], uri: str) -> dict[str, str]:
    """Model -> the audit's head that MLflow keeps with it; without those it keeps none with, or does not know."""
    known = {item.name: item.tags for item in MlflowClient(uri, uri).search_registered_models() if item.name in models}
    return {name: tags[HEAD] for name, tags in sorted(known.items()) if HEAD in tags}


class _Library:
    """One registered model, by MLflow's own client: whatever its store is."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client = client
        self._name = name

    def aliases(self) -> dict[str, int]:
        found = self._client.get_registered_model(self._name).aliases
        return {alias: int(number) for alias, number in found.items()}

    def head(self) -> str | None:
        text: str | None = self._client.get_registered_model(self._name).tags.get(HEAD)
        return text

    def tags(self) -> dict[int, str | None]:
        found = self._client.search_model_versions(f"name='{self._name}'")
        return {int(item.version): item.tags.get(STAGE) for item in found}

    def point(self, alias: str, version: int | None) -> None:
        if version is None:
            self._client.delete_registered_model_alias(self._name, alias)
        else:
            self._client.set_registered_model_alias(self._name, alias, str(version))

    def tag(self, version: int, stage: str) -> None:
        self._client.set_model_version_tag(self._name, str(version), STAGE, stage)

    def witness(self, head: str) -> None:
        self._client.set_registered_model_tag(self._name, HEAD, head)

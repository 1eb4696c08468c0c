"""MLflow's aliases and tags, made to say what Flyball's database says. Runs in step processes only: it imports MLflow.

Apart from `loop.tracking`, which takes twice as long to import: after a move by hand somebody waits for this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unless somebody asks for it

from mlflow.tracking import MlflowClient
from sqlalchemy.orm import configure_mappers

from flyball.registry.aliases import moved, wanted

# What a client loads at its first call, done here, in the process that steps are forked from: each would do it anew.
for _name in (
    "alembic.command",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
):
    import_module(_name)
configure_mappers()

#: the tag of a registered model that holds the head.
HEAD = "flyball.audit_head"


def project_aliases(
    name: str,
    uri: str,
    stages: Mapping[str, str],
    free: Mapping[str, int],
    deleted: list[str],
    head: str | None = None,
) -> dict[str, Any]:
    """Make MLflow's aliases and tags say what Flyball's database says: `stages` is version -> stage, `free` the free aliases.

    `deleted`: free ones that were taken away since MLflow was told. `head`: the audit's, which MLflow keeps as a witness
    outside the database.
    """
    client = MlflowClient(uri, uri)
    ours = wanted({int(number): stage for number, stage in stages.items()}, free)
    have = {alias: int(number) for alias, number in client.get_registered_model(name).aliases.items()}
    for alias, (should, _) in moved(ours, have, deleted).items():
        if should is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, str(should))
    for version in client.search_model_versions(f"name='{name}'"):
        stage = stages.get(str(version.version))
        if stage is not None and version.tags.get("flyball.stage") != stage:
            client.set_model_version_tag(name, version.version, "flyball.stage", stage)
    if head:
        client.set_registered_model_tag(name, HEAD, head)
    return {"aliases": ours}


def kept_heads(models: list[str], uri: str) -> dict[str, str]:
    """Model -> the audit's head that MLflow keeps with it; without those it keeps none with, or does not know."""
    known = {item.name: item.tags for item in MlflowClient(uri, uri).search_registered_models() if item.name in models}
    return {name: tags[HEAD] for name, tags in sorted(known.items()) if HEAD in tags}

"""The audit's heads that MLflow keeps, a witness outside the database: whoever cut the chain's end off is told on by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flyball.loop import unaided
from flyball.loop.projecting import ask_mlflow, light_workers
from flyball.loop.site import tracking_uri
from flyball.loop.unaided_file import Unfamiliar
from flyball.registry.versions import models, versions
from flyball.store import Database, Home, utcnow

#: how long an auditor waits for MLflow.
PATIENCE_S = 20.0


@contextmanager
def mlflow_heads(home: Home, database: Database) -> Iterator[Callable[[], Mapping[str, str]]]:
    """Gives what asks MLflow: head -> where it is kept, none where no version is in MLflow. Where its library is
    needed, that is imported beside the caller, in a process of its own. What is given raises Unavailable.
    """
    tracked = [name for name in models(database) if any(item.lineage.mlflow_run for item in versions(database, name))]
    if not tracked:
        yield dict
        return
    with light_workers(home) as workers:

        def ask() -> Mapping[str, str]:
            uri = tracking_uri(home)
            kept: Mapping[str, str | None]
            try:
                kept = {name: _head(uri, name) for name in tracked}
            except Unfamiliar:
                asked = {"models": tracked, "uri": uri}
                kept = ask_mlflow(home, workers, "kept_heads", asked, log="audit", now=utcnow(), timeout_s=PATIENCE_S)
            return {head: f"is kept with MLflow's {name}" for name, head in kept.items() if head}

        yield ask


def _head(uri: str, model: str) -> str | None:
    with unaided.opened(uri, model, timeout_s=PATIENCE_S) as registry:
        return registry.head()

"""Everything the loop needs to act for one project, opened once and handed down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flyball.pipeline.step import ModelNames
from flyball.pipeline.workers import StepWorkers
from flyball.project.records import Project
from flyball.registry.projects import add_project
from flyball.store import Database, Home, utcnow

#: what Flyball's own steps need, imported once in the warm process that steps are forked from.
PRELOAD = ("flyball.loop.steps", "flyball.loop.tracking", "flyball.loop.aliasing")

#: the module whose steps run for a project without a pipeline.
ADOPTED = "flyball.loop.adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One project in one home, with the warm process its steps are forked from."""

    home: Home
    database: Database
    project: Project
    workers: StepWorkers
    #: where MLflow keeps runs and versions, and where a new experiment's files go.
    tracking_uri: str
    artifact_location: str
    #: told what happens, a line at a time, for a person.
    say: Callable[[str], None]

    @property
    def model(self) -> str:
        return self.project.model.name

    def names(self) -> ModelNames:
        """What `[model]` calls its columns, as steps get it."""
        return names_of(self.project)


def names_of(project: Project) -> ModelNames:
    """What a project's `[model]` calls its columns."""
    settings = project.model
    return ModelNames(
        target=settings.target,
        features=settings.features,
        key=settings.key,
        timestamp=settings.timestamp,
        positive=settings.positive,
        task=settings.task,
    )


@contextmanager
def open_site(project: Project, home: Home, database: Database, say: Callable[[str], None]) -> Iterator[Site]:
    """The project's site; its step processes end with the block."""
    with database.write() as tx:
        add_project(tx, name=project.model.name, directory=project.directory, at=utcnow())
    log = home.runs / f"{project.model.name}.import.log"
    module = ADOPTED if project.model.adopted else project.pipeline.module
    with StepWorkers(directory=project.directory, module=module, log=log, preload=PRELOAD) as workers:
        yield Site(
            home=home,
            database=database,
            project=project,
            workers=workers,
            tracking_uri=tracking_uri(home),
            artifact_location=str(home.mlflow / "artifacts"),
            say=say,
        )


def tracking_uri(home: Home) -> str:
    """The MLflow that is named in the environment, else the one in the home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.mlflow / 'mlflow.db'}"


def tracking_stores(uri: str, folder: Path) -> tuple[str, ...]:
    """Where a model is looked for: `uri`, then what plain MLflow writes into the folder it is used in, where that is."""
    usual = {folder / "mlflow.db": f"sqlite:///{folder / 'mlflow.db'}", folder / "mlruns": (folder / "mlruns").as_uri()}
    return tuple(dict.fromkeys((uri, *(store for path, store in usual.items() if path.exists()))))

"""One run on its way to a version: what carries it out, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flyball.loop.plan import REFIT
from flyball.loop.recipe import recipe_digest
from flyball.loop.site import Site
from flyball.pipeline.artifact import Artifact, load
from flyball.pipeline.earlier import taken_by
from flyball.pipeline.execute import context_of, execute
from flyball.pipeline.graph import StepCall
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import ModelNames
from flyball.project.steps import StepDeclaration, upstream
from flyball.registry.records import Fallback, Verdict, Version
from flyball.store.checkpoints import Checkpoint

#: of a run that brings in a model that exists already.
ADOPTED_REASON = "adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a run came to."""

    run: str
    #: the registered version, refused ones too.
    version: int
    verdict: Verdict
    passed: bool
    #: where its rollout stands: full | shadow | queued; None when refused.
    rollout: str | None
    #: wall seconds of the whole run, the steps' processes included.
    seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run being carried out, and what it is measured against."""

    site: Site
    run: RunRecord
    #: when what it makes live becomes so.
    now: datetime
    steps: tuple[StepDeclaration, ...]
    champion: Version | None
    checkpoint: Checkpoint
    #: what a model that is adopted is, once that is known; None: this run trains.
    adopted: Mapping[str, str] | None = None
    #: the steps for which earlier runs' results stand in, once the model is made.
    fallbacks: tuple[Fallback, ...] = ()

    def execute(self, calls: Sequence[StepCall]) -> dict[str, Artifact]:
        context = context_of(self.run, self.site.home, model=names_of(self.site, self.run))
        return execute(
            self.site.database,
            self.site.home,
            self.site.workers,
            self.run,
            calls,
            context=context,
            checkpoint=self.checkpoint,
        )

    def value(self, artifact: Artifact) -> Any:
        """A result of Flyball's own steps: plain values and arrays, never a pickle."""
        return load(artifact, self.site.home.runs / self.run.id)

    def taken(self) -> tuple[Fallback, ...]:
        """What the run's steps have taken from earlier runs so far; a step and its repetition at a refit are one."""
        found = taken_by(self.site.database, self.run.id)
        return tuple(
            dict.fromkeys(
                Fallback(step=item.step.removeprefix(REFIT), run=item.run, decided_at=item.decided_at) for item in found
            )
        )

    @property
    def degraded(self) -> tuple[Fallback, ...]:
        """The fallbacks that the model is made of, as against those of steps beside it, such as a report."""
        into_model = upstream(self.steps, self.site.project.pipeline.model)
        return tuple(item for item in self.fallbacks if item.step in into_model)

    @property
    def recipe(self) -> str:
        """Digest of the recipe: another one is a change, the same a refresh."""
        if self.adopted is not None:
            return self.adopted["digest"]
        return recipe_digest(self.site.project, self.run.params, self.site.workers.sources())


def names_of(site: Site, run: RunRecord) -> ModelNames:
    """What `[model]` calls its columns; the features of a model that is adopted are its own."""
    if run.reason != ADOPTED_REASON:
        return site.names()
    return replace(site.names(), features=tuple(run.params["features"]))

"""Runs the steps of one run in their order, records each, retries, and picks up where a dead process left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import ModelNames, RunContext
from flyball.pipeline.workers import StepWorkers
from flyball.project.steps import StepDeclaration
from flyball.store.database import Database
from flyball.store.home import Home

#: where a run can die: `checkpoint` is called with each of these names as it is passed.
TRANSITIONS = (
    "step-begun",  # recorded as running; its process not yet asked for
    "step-started",  # its process asked for
    "step-ended",  # its process has ended; not yet recorded
    "step-done",  # its result is recorded
    "step-failed",  # its failed attempt is recorded
    "step-kept",  # found done, not run again
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """One step of a run: what to call with what, and how patiently."""

    name: str
    #: a `@step` of the project's module, or `package.module:function`.
    target: str
    #: parameter -> name of the step whose result it takes.
    inputs: Mapping[str, str] = field(default_factory=dict)
    #: which of window, params, seed, run it takes.
    given: tuple[str, ...] = ()
    #: parameter -> plain JSON value.
    constants: Mapping[str, Any] = field(default_factory=dict)
    #: steps that must come first although their results are not taken.
    after: tuple[str, ...] = ()
    retries: int = 0
    #: seconds before the first retry, doubled each time.
    backoff_s: float = 1.0
    timeout_s: float | None = None


def calls_of(declarations: Sequence[StepDeclaration]) -> tuple[StepCall, ...]:
    """The calls of a project's declared steps."""
    return tuple(
        StepCall(
            name=step.name,
            target=step.name,
            inputs={name: name for name in step.needs},
            given=step.given,
            after=step.after,
            retries=step.retries,
            backoff_s=step.backoff_s,
            timeout_s=step.timeout_s,
        )
        for step in declarations
    )


def context_of(run: RunRecord, home: Home, *, model: ModelNames, refit: bool = False) -> RunContext:
    """What the run gives to steps that ask for it."""
    path = home.runs / run.id
    return RunContext(
        id=run.id,
        path=path,
        folder=path,
        model=model,
        refit=refit,
        now=run.decided_at,
        window=run.window,
        params=run.params,
        seed=run.seed,
    )


def execute(
    database: Database,
    home: Home,
    workers: StepWorkers,
    run: RunRecord,
    steps: Sequence[StepCall],
    *,
    context: RunContext,
    checkpoint: Callable[[str], None] | None = None,
    parallel: int = 2,
) -> dict[str, Artifact]:
    """Run what is not yet done; step name -> result, in `home.runs / run.id`.

    A step that is done, called with the same and intact on disk, is not run again; nor is one that had ended when
    the process that watched it died. Raises StepFailed when a step has failed after its retries, Conflict when
    another living process executes the run, ProjectError when the project's module cannot be imported.
    """
    raise NotImplementedError

"""A run's steps carried out: taken over from whoever died, walked in order, and nothing left running unwatched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.earlier import last_seconds
from flyball.pipeline.fallback import recipes
from flyball.pipeline.graph import StepCall, longest_ways, ordered
from flyball.pipeline.runs import RunRecord, take_over
from flyball.pipeline.step import ModelNames, RunContext
from flyball.pipeline.walk import Walk
from flyball.pipeline.workers import StepWorkers
from flyball.store.checkpoints import Checkpoint, unwatched
from flyball.store.database import Database
from flyball.store.home import Home


def context_of(run: RunRecord, home: Home, *, model: ModelNames) -> RunContext:
    """What the run gives to steps that ask for it."""
    path = home.runs / run.id
    return RunContext(
        id=run.id,
        path=path,
        folder=path,
        model=model,
        refit=False,
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
    checkpoint: Checkpoint = unwatched,
    parallel: int = 2,
) -> dict[str, Artifact]:
    """Run what is not yet done; step name -> result, in `home.runs / run.id`.

    A step that is done, called with the same and intact on disk, is not run again; nor is one that had ended when
    the process that watched it died. A run that failed, or whose owner died, is taken over.

    Where a step that says so has failed after its retries, the last good result of an earlier run stands in for it.

    Raises StepFailed when a step has failed after its retries, Conflict when another living process executes the run,
    ProjectError when the project's module cannot be imported, Mistake when the steps are no DAG.
    """
    order = ordered(steps)
    workers.ready()
    with database.write() as tx:
        take_over(tx, run.id)
    calls, context = {call.name: call for call in steps}, replace(context, path=home.runs / run.id)
    walk = Walk(
        database=database,
        runs=home.runs,
        run=run,
        workers=workers,
        calls=calls,
        context=context,
        recipes=recipes(calls, context, sources=workers.sources(), module_file=workers.module_file),
        passed=checkpoint,
        recorded={step.name: step for step in steps_of(database, run.id)},
        order=order,
        ways=longest_ways(calls, last_seconds(database, run)),
        parallel=parallel,
    )
    try:
        return walk.finish()
    except BaseException:
        if walk.running:
            workers.close()  # nothing may go on that nobody watches
        raise

"""From a decision to retrain to a version on its way, or a refusal: the run of it begun, carried out, resumed.

A killed release is resumed by its run: steps that are done stay done, the gate's decision is written once, MLflow's
records are found again, and the version, its decision and its rollout appear in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from flyball.errors import Conflict, Finding, FlyballError, Mistake, ProjectError
from flyball.loop import making
from flyball.loop.alerts import open_alert
from flyball.loop.attempt import ADOPTED_REASON, Attempt, Release
from flyball.loop.recipe import keep_recipe
from flyball.loop.registering import ChampionMoved
from flyball.loop.site import Site
from flyball.loop.sources import SOURCES, sources
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.runs import RunRecord, create_run, find_run, finish_run, take_over
from flyball.pipeline.step import Window
from flyball.project.steps import StepDeclaration, fallback_problems, order
from flyball.registry import live
from flyball.registry.audit import GOVERNOR
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.store import Transaction
from flyball.store.checkpoints import Checkpoint, unwatched
from flyball.store.files import write_json

#: where a release can die, besides the steps' own transitions; all but the first are passed in `making`.
TRANSITIONS = ("run-created", "candidate-made", "judged", "refitted", "tracked", "registered")

#: versions in production, one after the other, that a candidate is measured against before its run gives up.
MOST_CHAMPIONS = 5

#: what is said to whoever wants an adopted model trained.
NO_PIPELINE = (
    "{model} has no pipeline to train by, it was adopted: `flyball adopt URI --reference FILE` brings another version; "
    "or write pipeline.py, and take [model] adopted out of flyball.toml"
)


def retrain(
    site: Site,
    *,
    now: datetime,
    reason: str = "manual",
    why: str,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    params: Mapping[str, Any] | None = None,
    who: str = GOVERNOR,
    checkpoint: Checkpoint = unwatched,
) -> Release:
    """Run the pipeline on what was known at `now`, judge the candidate, and start its rollout or refuse it.

    Raises StepFailed, Conflict, Mistake; the run is then recorded as failed.
    """
    with site.database.write() as tx:
        run = begin(
            tx,
            site,
            now=now,
            reason=reason,
            why=why,
            window=Window(start=window_start, end=window_end or now),
            params=params,
            who=who,
        )
    return carry_out(site, run, now=now, checkpoint=checkpoint)


def begin(
    tx: Transaction,
    site: Site,
    *,
    now: datetime,
    reason: str,
    why: str,
    window: Window,
    params: Mapping[str, Any] | None = None,
    who: str = GOVERNOR,
) -> RunRecord:
    """Write the run in the transaction of the decision that wants it: both happen or neither.

    Raises Mistake for a model without a pipeline.
    """
    if site.project.model.adopted:
        raise Mistake(NO_PIPELINE.format(model=site.model))
    settings = site.project.pipeline
    return create_run(
        tx,
        project=site.model,
        model=site.model,
        reason=reason,
        why=why,
        now=now,
        window=window,
        params={**settings.params, **(params or {})},
        seed=settings.seed,
        requested_by=who,
    )


def resume(site: Site, run_id: str, *, now: datetime, checkpoint: Checkpoint = unwatched) -> Release:
    """Take over a run whose process died, or that failed, and finish it.

    It goes on knowing what it knew when it was decided; what it makes live is live from `now`.
    """
    with site.database.write() as tx:
        run = take_over(tx, find_run(site.database, run_id).id)
    return carry_out(site, run, now=now, checkpoint=checkpoint)


def carry_out(site: Site, run: RunRecord, *, now: datetime, checkpoint: Checkpoint = unwatched) -> Release:
    """Finish a run that this process owns."""
    began = time.monotonic()
    checkpoint("run-created")
    try:
        way: Callable[[Attempt], Release] = making.by_adopting
        steps: tuple[StepDeclaration, ...] = ()
        if run.reason != ADOPTED_REASON:
            way, steps = making.by_training, _steps(site)
            _keep(site, run)
        release = _against_the_champion(way, Attempt(site, run, now, steps, _champion(site), checkpoint))
    except FlyballError as error:
        _record_failure(site, run, error)
        raise
    return replace(release, seconds=time.monotonic() - began)


def _against_the_champion(way: Callable[[Attempt], Release], attempt: Attempt) -> Release:
    """`way`, once more where another version went live meanwhile: steps that are done stay done, the scores are new.

    Raises Conflict where that happens again and again.
    """
    for _ in range(MOST_CHAMPIONS):
        try:
            return way(attempt)
        except ChampionMoved:
            attempt = replace(attempt, champion=_champion(attempt.site))
    short = attempt.run.id[:12]
    raise Conflict(
        f"{attempt.site.model}: another version went live {MOST_CHAMPIONS} times while run {short} was judged; "
        f"`flyball resume {short}` judges it against the one that is live then"
    )


def _keep(site: Site, run: RunRecord) -> None:
    """What the run is made with: the recipe that is imported now, and the data files as they were before a step was done."""
    folder = site.home.runs / run.id
    keep_recipe(folder, site.project.directory, site.workers.sources())
    if not any(step.status == "done" for step in steps_of(site.database, run.id)):
        write_json(folder / SOURCES, sources(site.project.directory, site.project.pipeline.source))


def _steps(site: Site) -> tuple[StepDeclaration, ...]:
    """The steps in their order, as the module declares them now: it may have been written anew since it was checked."""
    pipeline, steps = site.project.pipeline, site.workers.describe()
    wrong = fallback_problems(steps, model=pipeline.model, holdout=pipeline.holdout)
    if wrong:
        file = site.workers.module_file
        raise ProjectError(tuple(Finding(file=file, line=line, message=message) for line, message in wrong))
    return order(steps, model=pipeline.model, holdout=pipeline.holdout)


def _champion(site: Site) -> Version | None:
    deployed = live.current(site.database, site.model)
    return None if deployed is None else version(site.database, site.model, deployed.live)


def _record_failure(site: Site, run: RunRecord, error: FlyballError) -> None:
    short = run.id[:12]
    with site.database.write() as tx:
        finish_run(tx, run.id, "failed", error=str(error)[:2000])
        open_alert(
            tx,
            model=site.model,
            name="run_failed",
            severity="warning",
            title=f"{site.model}: run {short} failed; see `flyball logs {short}`, then `flyball resume {short}`",
            evidence={"run": run.id, "error": str(error)[:1000]},
            at=run.decided_at,
        )

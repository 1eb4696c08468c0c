"""From a decision to retrain to a version on its way, or a refusal: run, bundle, gate, refit, track, register, roll out.

A killed release is resumed by its run: steps that are done stay done, the gate's decision is written once, MLflow's
records are found again, and the version, its decision and its rollout appear in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flyball.errors import Finding, FlyballError, Mistake, ProjectError
from flyball.loop import evidence, plan, registering
from flyball.loop.alerts import open_alert
from flyball.loop.attempt import ADOPTED_REASON, Attempt, Release
from flyball.loop.labels import condition
from flyball.loop.recipe import keep_recipe
from flyball.loop.site import Site, tracking_stores
from flyball.loop.sources import SOURCES, sources
from flyball.pipeline.artifact import Artifact
from flyball.pipeline.execute import StepCall
from flyball.pipeline.runs import RunRecord, create_run, find_run, finish_run, steps_of, take_over
from flyball.pipeline.step import Window
from flyball.project.steps import StepDeclaration, fallback_problems, order
from flyball.registry import gate, live
from flyball.registry.audit import GOVERNOR
from flyball.registry.degraded import told
from flyball.registry.records import RuleResult, Verdict, Version
from flyball.registry.refit import with_refit
from flyball.registry.versions import free_label, label_of, version, versions
from flyball.stats.names import METRIC_NAMES
from flyball.store import Transaction
from flyball.store.files import write_json

#: where a release can die, besides the steps' own transitions.
TRANSITIONS = ("run-created", "candidate-made", "judged", "refitted", "tracked", "registered")

#: of an adopted model of which nobody said otherwise.
MAY_HAVE_SEEN = "the reference table's rows: the adopted model may have been trained on these rows"

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
    checkpoint: Callable[[str], None] | None = None,
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


def resume(site: Site, run_id: str, *, now: datetime, checkpoint: Callable[[str], None] | None = None) -> Release:
    """Take over a run whose process died, or that failed, and finish it.

    It goes on knowing what it knew when it was decided; what it makes live is live from `now`.
    """
    with site.database.write() as tx:
        run = take_over(tx, find_run(site.database, run_id).id)
    return carry_out(site, run, now=now, checkpoint=checkpoint)


def carry_out(site: Site, run: RunRecord, *, now: datetime, checkpoint: Callable[[str], None] | None = None) -> Release:
    """Finish a run that this process owns."""
    began = time.monotonic()
    checkpoint = checkpoint or _nothing
    checkpoint("run-created")
    try:
        if run.reason == ADOPTED_REASON:
            release = _adopt(Attempt(site, run, now, (), _champion(site), checkpoint))
        else:
            steps = _steps(site)
            _keep(site, run)
            release = _release(Attempt(site, run, now, steps, _champion(site), checkpoint))
    except FlyballError as error:
        _record_failure(site, run, error)
        raise
    return replace(release, seconds=time.monotonic() - began)


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


def _release(attempt: Attempt) -> Release:
    site, checkpoint = attempt.site, attempt.checkpoint
    pipeline, serving, monitor = site.project.pipeline, site.project.serving, site.project.monitor
    calls: tuple[StepCall, ...] = plan.candidate_calls(
        attempt.steps, pipeline, model=site.model, refit=site.project.gate.refit, serving=serving, monitor=monitor
    )
    refit = plan.refit_calls(attempt.steps, pipeline, model=site.model, serving=serving, monitor=monitor)
    ahead = refit[:-1] if site.project.gate.refit_ahead else ()
    made = attempt.execute((*calls, *_score_call(attempt), *ahead))
    candidate = attempt.value(made["deploy.bundle"])
    checkpoint("candidate-made")
    found = _held_out(attempt, made, candidate)
    verdict = replace(_judge(attempt, candidate, found), caveat=found.caveat)
    checkpoint("judged")
    chosen, model_step = candidate, pipeline.model
    if verdict.passed and site.project.gate.refit:
        again = (*calls, *refit)
        made = attempt.execute(again)
        chosen = attempt.value(made["refit.deploy.bundle"])
        verdict = _judge_refit(attempt, verdict, chosen, attempt.value(made["refit.deploy.agree"]))
        calls, model_step = again, plan.REFIT + pipeline.model
        checkpoint("refitted")
    attempt = replace(attempt, fallbacks=attempt.taken())
    caveat = "; ".join(filter(None, (verdict.caveat, told(attempt.degraded)))) or None
    verdict = replace(verdict, caveat=caveat)
    verdict = gate.with_bars(verdict, registering.barred_twin(attempt, chosen))
    metrics = gate.metrics_of(found.rows, METRIC_NAMES[found.rows.task], site.project.gate.confidence)
    label = _label(attempt, chosen)
    call = plan.track_call(
        model_step=model_step,
        name=site.model,
        uri=site.tracking_uri,
        artifacts=site.artifact_location,
        bundle=chosen["bundle"],
        values=registering.tracked_values(attempt, chosen, metrics, label, verdict),
    )
    tracked = attempt.value(attempt.execute((*calls, call))["deploy.track"])
    checkpoint("tracked")
    made_version = registering.version_of(attempt, candidate, chosen, tracked, metrics, label)
    release = registering.registered(attempt, made_version, verdict, found.stand_in)
    checkpoint("registered")
    return release


def _adopt(attempt: Attempt) -> Release:
    """A model that exists already, from its files to a version: what a release does, but for training."""
    site, run, checkpoint = attempt.site, attempt.run, attempt.checkpoint
    unseen = run.params["seen"] == "no"
    champions = evidence.champions(site.home, attempt.champion)
    asked = site.project.gate
    calls = plan.adopted_calls(
        run.params,
        servers=tracking_stores(site.tracking_uri, site.project.directory),
        model=site.model,
        timezone=site.project.pipeline.timezone,
        serving=site.project.serving,
        monitor=site.project.monitor,
        # Of rows that the candidate may have learnt from, none is better for the champion than another.
        champions=champions if unseen else [{**item, "data_end": None, "trained": None} for item in champions[:1]],
        cluster=asked.cluster,
        slices=asked.slices,
    )
    made = attempt.execute(calls)
    candidate = attempt.value(made["deploy.bundle"])
    fetched = attempt.value(made["adopt.fetch"])
    about = {name: str(run.params[name]) for name in ("source", "reference", "reference_sha256", "seen")}
    attempt = replace(attempt, adopted={**about, "flavour": fetched["flavour"], "digest": fetched["digest"]})
    checkpoint("candidate-made")
    # Nobody knows what it was trained on, so nothing is said of rows it may have seen.
    found = _held_out(attempt, made, {**candidate, "seen": None})
    verdict = replace(_judge(attempt, candidate, found), caveat=found.caveat if unseen else MAY_HAVE_SEEN)
    checkpoint("judged")
    verdict = gate.with_bars(verdict, registering.barred_twin(attempt, candidate))
    metrics = gate.metrics_of(found.rows, METRIC_NAMES[found.rows.task], asked.confidence)
    label = _label(attempt, candidate)
    candidate = {**candidate, "data_end": candidate["data_start"] if unseen else candidate["data_end"]}
    call = plan.track_adopted_call(
        name=site.model,
        uri=site.tracking_uri,
        artifacts=site.artifact_location,
        bundle=candidate["bundle"],
        values=registering.tracked_values(attempt, candidate, metrics, label, verdict),
        taken=[item.number for item in versions(site.database, site.model) if item.lineage.run != run.id],
    )
    tracked = attempt.value(attempt.execute((*calls, call))["deploy.track"])
    checkpoint("tracked")
    made_version = registering.version_of(attempt, candidate, candidate, tracked, metrics, label)
    release = registering.registered(attempt, made_version, verdict, found.stand_in)
    checkpoint("registered")
    return release


def _label(attempt: Attempt, chosen: Mapping[str, Any]) -> str:
    """As MLflow is told it; should another process take it first, `register` finds the next."""
    site, run = attempt.site, attempt.run
    # What says where an adopted model comes from is no condition it was made under.
    params = run.params if attempt.adopted is None else {"condition": run.params.get("condition")}
    made = condition(params, site.project.pipeline.params, chosen["estimator"])
    degraded = bool(attempt.degraded)
    label = label_of(site.model, run.decided_at, chosen["data_digest"], made, degraded=degraded)
    return free_label(site.database, site.model, label)


def _champion(site: Site) -> Version | None:
    deployed = live.current(site.database, site.model)
    return None if deployed is None else version(site.database, site.model, deployed.live)


def _score_call(attempt: Attempt) -> tuple[StepCall, ...]:
    """Scoring on held-out rows, where some are held out."""
    site = attempt.site
    if site.project.pipeline.holdout is None:
        return ()
    champions = evidence.champions(site.home, attempt.champion)
    asked = site.project.gate
    call = plan.score_call(site.project.pipeline, champions=champions, cluster=asked.cluster, slices=asked.slices)
    return (call,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The rows both are judged on, and what was found of them."""

    rows: gate.HeldOut
    #: who stood for the champion: 0 itself, 1 its gated twin, -1 nobody.
    stand_in: int = -1
    #: the verdict's lines about the rows themselves.
    checked: tuple[RuleResult, ...] = ()
    caveat: str | None = None


def _held_out(attempt: Attempt, made: Mapping[str, Artifact], candidate: Mapping[str, Any]) -> _Found:
    task = attempt.site.project.model.task
    if "deploy.score" not in made:
        return _Found(rows=evidence.nothing_held_out(task))
    scores = attempt.value(made["deploy.score"])
    return _Found(
        rows=evidence.held_out(task, scores),
        stand_in=int(scores["stand_in"][0]),
        checked=evidence.checked(scores, candidate, attempt.site.project.gate.allow_leak),
        caveat=evidence.left_out(scores, attempt.champion),
    )


def _judge(attempt: Attempt, candidate: Mapping[str, Any], found: _Found) -> Verdict:
    site, run, champion = attempt.site, attempt.run, attempt.champion
    occasion: gate.Occasion = "first"
    if champion is not None:
        same = champion.lineage.recipe_digest == attempt.recipe
        occasion = "refresh" if same else "change"
    question = gate.Question(
        model=site.model,
        run=run.id,
        occasion=occasion,
        champion=champion.number if champion else None,
        at=run.decided_at,
    )
    measured = _measured(attempt, candidate, occasion)
    return gate.judge(question, site.project.gate, found.rows, measured, found.checked)


def _judge_refit(attempt: Attempt, verdict: Verdict, refitted: Mapping[str, Any], agreed: Mapping[str, Any]) -> Verdict:
    """The verdict with what can be judged of the refitted model itself."""
    return with_refit(
        verdict,
        gate.rules_for(attempt.site.project.gate, verdict.occasion),
        _measured(attempt, refitted, verdict.occasion),
        task=attempt.site.project.model.task,
        disagreement=agreed["disagreement"],
    )


def _measured(attempt: Attempt, bundle: Mapping[str, Any], occasion: gate.Occasion) -> dict[str, float]:
    folder = attempt.site.home.runs / attempt.run.id / bundle["bundle"]
    return evidence.measured(folder, gate.rules_for(attempt.site.project.gate, occasion))


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


def _nothing(_: str) -> None:
    """The checkpoint nobody watches."""

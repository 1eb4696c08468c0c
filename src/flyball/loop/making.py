"""The two ways to a version: a candidate is trained, or adopted; both are judged, told to MLflow and registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flyball.loop import evidence, judging, plan, registering
from flyball.loop.attempt import Attempt, Release
from flyball.loop.judging import Found
from flyball.loop.labels import condition
from flyball.loop.site import tracking_stores
from flyball.pipeline.graph import StepCall
from flyball.registry import gate
from flyball.registry.degraded import told
from flyball.registry.records import Verdict
from flyball.registry.versions import free_label, label_of, versions
from flyball.stats.names import METRIC_NAMES

#: of an adopted model of which nobody said otherwise.
MAY_HAVE_SEEN = "the reference table's rows: the adopted model may have been trained on these rows"


def by_training(attempt: Attempt) -> Release:
    """The user's steps, bundle, gate; refitted on all rows where the project says so; registered."""
    site, checkpoint = attempt.site, attempt.checkpoint
    pipeline, serving, monitor = site.project.pipeline, site.project.serving, site.project.monitor
    calls: tuple[StepCall, ...] = plan.candidate_calls(
        attempt.steps, pipeline, model=site.model, refit=site.project.gate.refit, serving=serving, monitor=monitor
    )
    refit = plan.refit_calls(attempt.steps, pipeline, model=site.model, serving=serving, monitor=monitor)
    ahead = refit if site.project.gate.refit_ahead else ()
    made = attempt.execute((*calls, *_score_call(attempt), *ahead))
    candidate = attempt.value(made["deploy.bundle"])
    checkpoint("candidate-made")
    found = judging.held_out(attempt, made, candidate)
    verdict = judging.judge(attempt, candidate, found)
    checkpoint("judged")
    chosen, model_step = candidate, pipeline.model
    if verdict.passed and site.project.gate.refit:
        calls = (*calls, *refit)
        made = made if ahead else attempt.execute(calls)
        chosen = attempt.value(made["refit.deploy.bundle"])
        verdict = judging.judge_refit(attempt, verdict, chosen, attempt.value(made["refit.deploy.agree"]))
        model_step = plan.REFIT + pipeline.model
        checkpoint("refitted")
    attempt = replace(attempt, fallbacks=attempt.taken())
    caveat = "; ".join(filter(None, (verdict.caveat, told(attempt.degraded)))) or None
    return _registered(
        attempt,
        found,
        replace(verdict, caveat=caveat),
        candidate=candidate,
        chosen=chosen,
        calls=calls,
        track=partial(plan.track_call, model_step=model_step),
    )


def by_adopting(attempt: Attempt) -> Release:
    """A model that exists already, from its files to a version: what a training run does, but for training."""
    site, run = attempt.site, attempt.run
    unseen = run.params["seen"] == "no"
    champions = evidence.champions(site.home, attempt.champion)
    calls = plan.adopted_calls(
        run.params,
        servers=tracking_stores(site.tracking_uri, site.project.directory),
        model=site.model,
        timezone=site.project.pipeline.timezone,
        serving=site.project.serving,
        monitor=site.project.monitor,
        # Of rows that the candidate may have learnt from, none is better for the champion than another.
        champions=champions if unseen else [{**item, "data_end": None, "trained": None} for item in champions[:1]],
        cluster=site.project.gate.cluster,
        slices=site.project.gate.slices,
    )
    made = attempt.execute(calls)
    candidate = attempt.value(made["deploy.bundle"])
    fetched = attempt.value(made["adopt.fetch"])
    about = {name: str(run.params[name]) for name in ("source", "reference", "reference_sha256", "seen")}
    attempt = replace(attempt, adopted={**about, "flavour": fetched["flavour"], "digest": fetched["digest"]})
    attempt.checkpoint("candidate-made")
    # Nobody knows what it was trained on, so nothing is said of rows it may have seen.
    found = judging.held_out(attempt, made, {**candidate, "seen": None})
    verdict = judging.judge(attempt, candidate, found)
    attempt.checkpoint("judged")
    candidate = {**candidate, "data_end": candidate["data_start"] if unseen else candidate["data_end"]}
    taken = [item.number for item in versions(site.database, site.model) if item.lineage.run != run.id]
    return _registered(
        attempt,
        found,
        verdict if unseen else replace(verdict, caveat=MAY_HAVE_SEEN),
        candidate=candidate,
        chosen=candidate,
        calls=calls,
        track=partial(plan.track_adopted_call, taken=taken),
    )


def _registered(
    attempt: Attempt,
    found: Found,
    verdict: Verdict,
    *,
    candidate: Mapping[str, Any],
    chosen: Mapping[str, Any],
    calls: Sequence[StepCall],
    track: Callable[..., StepCall],
) -> Release:
    """What was judged as a version: in MLflow, which numbers it, then here. `chosen`: the bundle that is to answer.

    Raises ChampionMoved.
    """
    site = attempt.site
    registering.require_champion(site.database, attempt)  # before MLflow is told of a verdict that is not the last
    verdict = gate.with_bars(verdict, registering.barred_twin(attempt, chosen))
    metrics = gate.metrics_of(found.rows, METRIC_NAMES[found.rows.task], site.project.gate.confidence)
    label = _label(attempt, chosen)
    call = track(
        name=site.model,
        uri=site.tracking_uri,
        artifacts=site.artifact_location,
        bundle=chosen["bundle"],
        values=registering.tracked_values(attempt, chosen, metrics, label, verdict),
    )
    tracked = attempt.value(attempt.execute((*calls, call))["deploy.track"])
    attempt.checkpoint("tracked")
    made = registering.version_of(attempt, candidate, chosen, tracked, metrics, label)
    release = registering.registered(attempt, made, verdict, found.stand_in)
    attempt.checkpoint("registered")
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


def _score_call(attempt: Attempt) -> tuple[StepCall, ...]:
    """Scoring on held-out rows, where some are held out."""
    site = attempt.site
    if site.project.pipeline.holdout is None:
        return ()
    champions = evidence.champions(site.home, attempt.champion)
    asked = site.project.gate
    call = plan.score_call(site.project.pipeline, champions=champions, cluster=asked.cluster, slices=asked.slices)
    return (call,)

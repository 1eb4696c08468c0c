"""From a decision to retrain to a version on its way, or a refusal: run, bundle, gate, refit, track, register, roll out.

A killed release is resumed by its run: steps that are done stay done, the gate's decision is written once, MLflow's
records are found again, and the version, its decision and its rollout appear in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flyball.errors import FlyballError
from flyball.loop import evidence, plan
from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.site import Site, environment, git_state, hardware, recipe_digest
from flyball.pipeline.artifact import Artifact, load
from flyball.pipeline.execute import StepCall, context_of, execute
from flyball.pipeline.runs import RunRecord, create_run, find_run, finish_run, take_over
from flyball.pipeline.step import Window
from flyball.project.steps import StepDeclaration, order
from flyball.registry import chain, decisions, gate, holds, live
from flyball.registry.codec import plain
from flyball.registry.holds import Bar
from flyball.registry.records import Lineage, Verdict, Version
from flyball.registry.versions import label_of, register, version
from flyball.rollout import move
from flyball.stats.estimate import Estimate
from flyball.stats.names import METRIC_NAMES
from flyball.store import Transaction, moment, stamp

#: where a release can die, besides the steps' own transitions.
TRANSITIONS = ("run-created", "candidate-made", "judged", "refitted", "tracked", "registered")


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


def retrain(
    site: Site,
    *,
    now: datetime,
    reason: str = "manual",
    why: str,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    params: Mapping[str, Any] | None = None,
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
) -> RunRecord:
    """Write the run in the transaction of the decision that wants it: both happen or neither."""
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
    )


def resume(site: Site, run_id: str, *, now: datetime, checkpoint: Callable[[str], None] | None = None) -> Release:
    """Take over a run whose process died, or that failed, and finish it.

    It goes on knowing what it knew when it was decided; what it makes live is live from `now`.
    """
    with site.database.write() as tx:
        run = take_over(tx, find_run(site.database, run_id).id)
    return carry_out(site, run, now=now, checkpoint=checkpoint)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One run being carried out, and what it is measured against."""

    site: Site
    run: RunRecord
    #: when what it makes live becomes so.
    now: datetime
    steps: tuple[StepDeclaration, ...]
    champion: Version | None
    checkpoint: Callable[[str], None]

    def execute(self, calls: Sequence[StepCall]) -> dict[str, Artifact]:
        context = context_of(self.run, self.site.home, model=self.site.names())
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


def carry_out(site: Site, run: RunRecord, *, now: datetime, checkpoint: Callable[[str], None] | None = None) -> Release:
    """Finish a run that this process owns."""
    began = time.monotonic()
    checkpoint = checkpoint or _nothing
    checkpoint("run-created")
    try:
        pipeline = site.project.pipeline
        steps = order(site.workers.describe(), model=pipeline.model, holdout=pipeline.holdout)
        release = _release(_Attempt(site, run, now, steps, _champion(site), checkpoint))
    except FlyballError as error:
        _record_failure(site, run, error)
        raise
    return replace(release, seconds=time.monotonic() - began)


def _release(attempt: _Attempt) -> Release:
    site, run, checkpoint = attempt.site, attempt.run, attempt.checkpoint
    pipeline = site.project.pipeline
    calls: tuple[StepCall, ...] = plan.candidate_calls(
        attempt.steps, pipeline, model=site.model, refit=site.project.gate.refit, serving=site.project.serving
    )
    refit = plan.refit_calls(attempt.steps, pipeline, model=site.model, serving=site.project.serving)
    ahead = refit[:-1] if site.project.gate.refit_ahead else ()
    made = attempt.execute((*calls, *_score_call(attempt), *ahead))
    candidate = attempt.value(made["deploy.bundle"])
    checkpoint("candidate-made")
    held_out, stand_in = _held_out(attempt, made)
    verdict = _judge(attempt, candidate, held_out)
    checkpoint("judged")
    chosen, model_step = candidate, pipeline.model
    if verdict.passed and site.project.gate.refit:
        again = (*calls, *refit)
        chosen = attempt.value(attempt.execute(again)["refit.deploy.bundle"])
        calls, model_step = again, plan.REFIT + pipeline.model
        checkpoint("refitted")
    verdict = gate.with_bars(verdict, _barred_twin(attempt, chosen))
    metrics = gate.metrics_of(held_out, METRIC_NAMES[held_out.task], site.project.gate.confidence)
    label = label_of(site.model, run.decided_at, chosen["data_digest"], _condition(run, chosen))
    call = plan.track_call(
        model_step=model_step,
        name=site.model,
        uri=site.tracking_uri,
        artifacts=site.artifact_location,
        bundle=chosen["bundle"],
        values=_tracked(attempt, chosen, metrics, label, verdict),
    )
    tracked = attempt.value(attempt.execute((*calls, call))["deploy.track"])
    checkpoint("tracked")
    made_version = _version(attempt, candidate, chosen, tracked, metrics, label)
    release = _register(attempt, made_version, verdict, stand_in)
    checkpoint("registered")
    return release


def _champion(site: Site) -> Version | None:
    deployed = live.current(site.database, site.model)
    return None if deployed is None else version(site.database, site.model, deployed.live)


def _score_call(attempt: _Attempt) -> tuple[StepCall, ...]:
    """Scoring on held-out rows, where some are held out."""
    site = attempt.site
    if site.project.pipeline.holdout is None:
        return ()
    champions = evidence.champions(site.home, attempt.champion)
    asked = site.project.gate
    call = plan.score_call(site.project.pipeline, champions=champions, cluster=asked.cluster, slices=asked.slices)
    return (call,)


def _held_out(attempt: _Attempt, made: Mapping[str, Artifact]) -> tuple[gate.HeldOut, int]:
    """The rows both are judged on, and who stood for the champion: 0 itself, 1 its gated twin, -1 nobody."""
    task = attempt.site.project.model.task
    if "deploy.score" not in made:
        return evidence.nothing_held_out(task), -1
    scores = attempt.value(made["deploy.score"])
    return evidence.held_out(task, scores), int(scores["stand_in"][0])


def _judge(attempt: _Attempt, candidate: Mapping[str, Any], held_out: gate.HeldOut) -> Verdict:
    site, run, champion = attempt.site, attempt.run, attempt.champion
    occasion: gate.Occasion = "first"
    if champion is not None:
        same = champion.lineage.recipe_digest == _recipe(attempt)
        occasion = "refresh" if same else "change"
    question = gate.Question(
        model=site.model,
        run=run.id,
        occasion=occasion,
        champion=champion.number if champion else None,
        at=run.decided_at,
    )
    folder = site.home.runs / run.id / candidate["bundle"]
    measured = evidence.measured(folder, gate.rules_for(site.project.gate, occasion))
    return gate.judge(question, site.project.gate, held_out, measured)


def _barred_twin(attempt: _Attempt, chosen: Mapping[str, Any]) -> Bar | None:
    """The bar of a version made of the same recipe and the same rows: this would be that one again."""
    site = attempt.site
    for item in holds.bars(site.database, site.model):
        lineage = version(site.database, site.model, item.version).lineage
        if (lineage.recipe_digest, lineage.data_digest) == (_recipe(attempt), chosen["data_digest"]):
            return item
    return None


def _register(attempt: _Attempt, made: Version, verdict: Verdict, stand_in: int) -> Release:
    """Version, decision, rollout and the run's end, together or not at all."""
    site, run = attempt.site, attempt.run
    words = gate.sentence(verdict)
    if stand_in == 1:
        words += f" (v{verdict.champion} was trained on these rows; its gated twin stands in)"
    with site.database.write() as tx:
        made = register(tx, made)
        decisions.decide(
            tx,
            model=site.model,
            at=attempt.now,
            kind="gate",
            subject=f"v{made.number}",
            verdict="passed" if verdict.passed else "refused",
            reason=words,
            evidence=plain(verdict),
            dedup=f"gate:{run.id}",
        )
        rollout = _start(site, tx, made, attempt.now, words) if verdict.passed else None
        end_alert(
            tx,
            model=site.model,
            name="run_failed",
            at=run.decided_at,
            why=f"{site.model}: run {run.id[:12]} went through",
        )
        finish_run(tx, run.id, "released" if verdict.passed else "refused", version=made.number)
    return Release(
        run=run.id, version=made.number, verdict=verdict, passed=verdict.passed, rollout=rollout, seconds=0.0
    )


def _start(site: Site, tx: Transaction, made: Version, now: datetime, why: str) -> str:
    settings = site.project.rollout
    return move.start(
        tx,
        made,
        strategy=settings.strategy,
        on_new=settings.on_new_candidate,
        columns=site.project.columns,
        now=now,
        why=f"v{made.number} {why}",
    )


def _version(
    attempt: _Attempt,
    candidate: Mapping[str, Any],
    chosen: Mapping[str, Any],
    tracked: Mapping[str, Any],
    metrics: Mapping[str, Estimate],
    label: str,
) -> Version:
    site, run = attempt.site, attempt.run
    commit, dirty = git_state(site.project.directory)
    folder = f"runs/{run.id}"
    twin = None
    if chosen is not candidate:
        twin = {
            "bundle": f"{folder}/{candidate['bundle']}",
            "digest": str(candidate["digest"]),
            "data_end": str(candidate["data_end"]),
        }
    return Version(
        model=site.model,
        number=tracked["version"],
        label=label,
        created_at=run.decided_at,
        bundle=f"{folder}/{chosen['bundle']}",
        digest=chosen["digest"],
        metrics=metrics,
        parity=chosen["parity"],
        lineage=Lineage(
            run=run.id,
            reason=run.reason,
            data_digest=chosen["data_digest"],
            data_rows=chosen["data_rows"],
            data_start=moment(chosen["data_start"]) if chosen["data_start"] else None,
            data_end=moment(chosen["data_end"]) if chosen["data_end"] else None,
            recipe_digest=_recipe(attempt),
            git_commit=commit,
            git_dirty=dirty,
            params=run.params,
            seed=run.seed,
            environment=environment(),
            hardware=hardware(),
            parent=attempt.champion.number if attempt.champion else None,
            gated_twin=twin,
            mlflow_run=tracked["run"],
        ),
        stage="none",
    )


def _tracked(
    attempt: _Attempt, chosen: Mapping[str, Any], metrics: Mapping[str, Estimate], label: str, verdict: Verdict
) -> dict[str, Any]:
    """What MLflow is told."""
    run = attempt.run
    installed = environment()
    return {
        "params": {**run.params, "seed": run.seed},
        "metrics": {name: item.value for name, item in metrics.items()},
        "tags": {
            "flyball.label": label,
            "flyball.reason": run.reason,
            "flyball.data_digest": chosen["data_digest"],
            "flyball.data_rows": str(chosen["data_rows"]),
            "flyball.bundle_digest": chosen["digest"],
            "flyball.gate": "passed" if verdict.passed else "refused",
            "flyball.decided_at": stamp(run.decided_at),
            # A witness outside the database of how long the audit was.
            "flyball.audit_head": chain.head(attempt.site.database) or "",
        },
        "requirements": [f"{name}=={installed[name]}" for name in _REQUIRED if name in installed],
    }


#: what loading a registered model outside Flyball may need.
_REQUIRED = ("scikit-learn", "lightgbm", "pandas", "numpy", "cloudpickle")


def _recipe(attempt: _Attempt) -> str:
    return recipe_digest(attempt.site.project, attempt.run.params)


def _condition(run: RunRecord, chosen: Mapping[str, Any]) -> str:
    """The experiment condition in a label: `params.condition`, else the estimator's name."""
    named = str(run.params.get("condition") or chosen["estimator"])
    short = named.removesuffix("Classifier").removesuffix("Regressor").lower()
    return "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in short)


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

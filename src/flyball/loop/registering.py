"""The end of a run: its version as a record, registered with its verdict, its rollout begun or its approval asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flyball.loop import rolling
from flyball.loop.alerts import end_alert, is_open, open_alert
from flyball.loop.attempt import Attempt, Release
from flyball.loop.recipe import environment, git_state, hardware
from flyball.loop.site import Site
from flyball.loop.sources import kept_sources
from flyball.pipeline.runs import finish_run
from flyball.registry import approvals, chain, decisions, gate, holds, live
from flyball.registry.codec import plain
from flyball.registry.degraded import listed
from flyball.registry.holds import Bar
from flyball.registry.records import Lineage, Verdict, Version
from flyball.registry.versions import register, version
from flyball.rollout import advance
from flyball.rollout.proof import Proof, tried
from flyball.stats.estimate import Estimate
from flyball.store import Database, Transaction, moment, stamp


class ChampionMoved(Exception):
    """Another version has gone live since the candidate was measured against the one that was: no error, it is judged anew."""


def barred_twin(attempt: Attempt, chosen: Mapping[str, Any]) -> Bar | None:
    """The bar of a version made of the same recipe and the same rows: this would be that one again."""
    site = attempt.site
    for item in holds.bars(site.database, site.model):
        lineage = version(site.database, site.model, item.version).lineage
        if (lineage.recipe_digest, lineage.data_digest) == (attempt.recipe, chosen["data_digest"]):
            return item
    return None


def registered(attempt: Attempt, made: Version, verdict: Verdict, stand_in: int) -> Release:
    """Version, decision, rollout and the run's end, together or not at all. Raises ChampionMoved; nothing is written then."""
    site, run = attempt.site, attempt.run
    words = gate.sentence(verdict)
    # Loading takes its time, and is done before the database is held.
    proof = tried(site.home, made) if verdict.passed else None
    if stand_in == 1:
        words += f" (v{verdict.champion} was trained on these rows; its gated twin stands in)"
    with site.database.write() as tx:
        require_champion(tx, attempt)
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
        rollout = _start(attempt, tx, made, words, proof) if proof is not None else None
        end_alert(
            tx,
            model=site.model,
            name="run_failed",
            at=run.decided_at,
            why=f"{site.model}: run {run.id[:12]} went through",
        )
        _tell_fallbacks(attempt, tx, made)
        finish_run(tx, run.id, "released" if verdict.passed else "refused", version=made.number)
    return Release(
        run=run.id, version=made.number, verdict=verdict, passed=verdict.passed, rollout=rollout, seconds=0.0
    )


def require_champion(source: Transaction | Database, attempt: Attempt) -> None:
    """Raise ChampionMoved where the version that is live is not the one the candidate was measured against."""
    deployed = live.current(source, attempt.site.model)
    if (deployed.live if deployed else None) != (attempt.champion.number if attempt.champion else None):
        raise ChampionMoved


def _tell_fallbacks(attempt: Attempt, tx: Transaction, made: Version) -> None:
    """An alert while runs go through only because earlier results stand in; the first that needs none ends it."""
    site, run = attempt.site, attempt.run
    if not attempt.fallbacks:
        why = f"{site.model}: run {run.id[:12]} made all of its steps' results"
        end_alert(tx, model=site.model, name="degraded", at=run.decided_at, why=why)
        return
    what = f"v{made.number} is degraded" if attempt.degraded else f"run {run.id[:12]} went through on fallbacks"
    open_alert(
        tx,
        model=site.model,
        name="degraded",
        severity="warning",
        title=f"{site.model}: {what}: {listed(attempt.fallbacks)}; `flyball logs {run.id[:12]}` tells what failed",
        evidence={"run": run.id, "version": made.number, "fallbacks": [plain(item) for item in attempt.fallbacks]},
        at=run.decided_at,
    )


def _start(attempt: Attempt, tx: Transaction, made: Version, why: str, proof: Proof) -> str:
    """Begin its rollout, or have it wait for a person."""
    site, now = attempt.site, attempt.now
    settings = site.project.rollout
    way: dict[str, Any] = {
        "strategy": settings.strategy,
        "on_new": settings.on_new_candidate,
        "columns": dict(site.project.columns),
    }
    if site.project.gate.approval == "human":
        return _await_approval(attempt, tx, made, why, way)
    status = advance.start(tx, made, proof=proof, **way, now=now, why=f"v{made.number} {why}")
    rolling.tell(tx, site, made.number, status, trouble=proof.trouble, now=now)
    return status


def _await_approval(attempt: Attempt, tx: Transaction, made: Version, why: str, way: Mapping[str, Any]) -> str:
    site, now, wanted_by = attempt.site, attempt.now, attempt.run.requested_by
    until = now + timedelta(seconds=site.project.gate.approval_timeout_s)
    approvals.ask(
        tx,
        model=site.model,
        version=made.number,
        requested_by=wanted_by,
        expires_at=until,
        why=why,
        rollout=way,
        now=now,
    )
    open_alert(
        tx,
        model=site.model,
        name="approval",
        severity="info",
        title=f"{site.model} v{made.number} passed its gate and waits until {until:%Y-%m-%d %H:%M}Z for another's approval "
        f"than {wanted_by}'s: `flyball approve {site.model}@{made.number}`",
        evidence={"version": made.number, "requested_by": wanted_by, "until": stamp(until)},
        at=now,
    )
    return "approval"


def settle_approvals(site: Site, now: datetime) -> None:
    """What nobody approved in time is put away, and that is told; the alert about what was approved ends."""
    waiting = approvals.waiting(site.database, site.model)
    if not waiting and is_open(site.database, model=site.model, name="approval"):
        with site.database.write() as tx:
            end_alert(tx, model=site.model, name="approval", at=now, why=f"{site.model}: nothing waits for approval")
    if not any(item.expires_at <= now for item in waiting):
        return
    with site.database.write() as tx:
        for item in approvals.expire(tx, model=site.model, now=now):
            until = f"{item.expires_at:%Y-%m-%d %H:%M}Z"
            why = f"v{item.version} was wanted by {item.requested_by}; nobody approved it until {until}"
            decisions.decide(
                tx,
                model=site.model,
                at=now,
                kind="rollout",
                subject=f"v{item.version}",
                verdict="expired",
                reason=why,
                evidence={"requested_by": item.requested_by, "requested_at": stamp(item.requested_at)},
                dedup=f"approval:{site.model}:{item.version}:expired",
            )
            end_alert(tx, model=site.model, name="approval", at=now, why=f"{site.model}: {why}")


def version_of(
    attempt: Attempt,
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
        }
        if candidate["data_end"] is not None:
            twin["data_end"] = str(candidate["data_end"])
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
            recipe_digest=attempt.recipe,
            git_commit=commit,
            git_dirty=dirty,
            params=run.params,
            seed=run.seed,
            environment=environment(),
            hardware=hardware(),
            parent=attempt.champion.number if attempt.champion else None,
            gated_twin=twin,
            mlflow_run=tracked["run"],
            adopted=attempt.adopted,
            sources=kept_sources(site.home.runs / run.id),
            degraded=attempt.degraded,
        ),
        stage="none",
    )


def tracked_values(
    attempt: Attempt, chosen: Mapping[str, Any], metrics: Mapping[str, Estimate], label: str, verdict: Verdict
) -> dict[str, Any]:
    """What MLflow is told."""
    run = attempt.run
    installed = environment()
    return {
        "params": {**run.params, "seed": run.seed},  # of an adopted model: where it comes from
        "metrics": {name: item.value for name, item in metrics.items()},
        "tags": {
            "flyball.label": label,
            "flyball.reason": run.reason,
            "flyball.data_digest": chosen["data_digest"],
            "flyball.data_rows": str(chosen["data_rows"]),
            "flyball.bundle_digest": chosen["digest"],
            "flyball.gate": "passed" if verdict.passed else "refused",
            "flyball.decided_at": stamp(run.decided_at),
            **({"flyball.degraded": listed(attempt.degraded)} if attempt.degraded else {}),
            # A witness outside the database of how long the audit was.
            "flyball.audit_head": chain.head(attempt.site.database) or "",
        },
        "requirements": [f"{name}=={installed[name]}" for name in _REQUIRED if name in installed],
    }


#: what loading a registered model outside Flyball may need.
_REQUIRED = ("scikit-learn", "lightgbm", "pandas", "numpy", "cloudpickle")

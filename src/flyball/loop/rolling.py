"""The rollout under way at a beat: its turn, its evidence, its next move; and what is told of one that cannot answer."""

from __future__ import annotations

from datetime import datetime

from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.site import Site
from flyball.registry import holds
from flyball.rollout import advance, book, evidence
from flyball.rollout.proof import Proof, try_version
from flyball.rollout.state import Evidence, Move, Rollout, Status, next_move
from flyball.stats.names import GREATER_IS_BETTER
from flyball.store import Transaction


def roll(site: Site, now: datetime) -> str | None:
    """Move the model's rollout if it is time; "v7 full" | "v7 aborted" | "v7 failed", None where no shadow came to an end."""
    if holds.held(site.database, site.model, now) is not None:
        return None
    running = book.active(site.database, site.model)
    if running is None:
        waiting = book.queued(site.database, site.model)
        return None if waiting is None else _begin(site, waiting, now)
    found, step = _step(site, running, now)
    if step.to == "wait":
        return None
    # Loading takes its time, and is done before the database is held.
    proof = _tried(site, running) if step.to == "full" else None
    with site.database.write() as tx:
        if proof is not None:
            status = advance.go_full(tx, running, found, proof=proof, now=now, why=step.reason)
            tell(tx, site, running.candidate, status, trouble=proof.trouble, now=now)
        else:
            status = advance.abort(tx, running, found, now=now, why=step.reason)
    return None if status == running.status else f"v{running.candidate} {status}"


def tell(tx: Transaction, site: Site, candidate: int, status: Status, *, trouble: str | None, now: datetime) -> None:
    """Open the alert about a version that cannot answer; end it when another can."""
    if status == "failed":
        open_alert(
            tx,
            model=site.model,
            name="rollout_failed",
            severity="critical",
            title=f"{site.model} v{candidate} cannot answer, and did not go live; what was live goes on: {trouble}",
            evidence={"version": candidate, "trouble": trouble},
            at=now,
        )
    elif status in ("full", "shadow"):
        why = f"{site.model}: v{candidate} answers"
        end_alert(tx, model=site.model, name="rollout_failed", at=now, why=why)


def _begin(site: Site, waiting: Rollout, now: datetime) -> str | None:
    settings, proof = site.project, _tried(site, waiting)
    with site.database.write() as tx:
        status = advance.start_queued(
            tx, waiting, proof=proof, strategy=settings.rollout.strategy, columns=settings.columns, now=now
        )
        tell(tx, site, waiting.candidate, status, trouble=proof.trouble, now=now)
    return f"v{waiting.candidate} {status}" if status in ("aborted", "failed") else None


def _tried(site: Site, rollout: Rollout) -> Proof:
    return try_version(site.database, site.home, rollout.model, rollout.candidate)


def _step(site: Site, running: Rollout, now: datetime) -> tuple[Evidence, Move]:
    settings = site.project.model
    metric = settings.primary_metric
    found = evidence.gather(
        site.home,
        running,
        task=settings.task,
        metric=metric,
        confidence=site.project.gate.confidence,
        now=now,
        positive=settings.positive,
    )
    return found, next_move(
        running,
        found,
        site.project.rollout,
        metric=metric.upper(),
        greater_is_better=GREATER_IS_BETTER[metric],
        now=now,
    )

"""What Flyball does by itself to what answers: begin a rollout, its turn, full, abort. Each in the caller's transaction.

Nothing goes live here without a proof that it answers. What cannot is ended as failed, with a decision that names why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from flyball.errors import Conflict
from flyball.registry import holds, live
from flyball.registry.audit import GOVERNOR
from flyball.registry.records import Deployment, Version
from flyball.registry.versions import set_stage, version
from flyball.rollout import book
from flyball.rollout.proof import Proof, hindrance
from flyball.rollout.state import Evidence, Rollout, Status
from flyball.store import Transaction

Policy = Mapping[str, Literal["keep", "hash", "drop"]]


def start(
    tx: Transaction,
    candidate: Version,
    *,
    proof: Proof,
    strategy: Literal["direct", "shadow"],
    on_new: Literal["queue", "replace"],
    columns: Policy,
    now: datetime,
    why: str,
) -> Status:
    """Begin a candidate's rollout; the status it begins in. On a model that is held it waits.

    Raises Conflict for a version that is archived or barred.
    """
    hindered = hindrance(tx, candidate.model, candidate.number)
    if hindered is not None:
        raise Conflict(hindered)
    deployed = live.current(tx, candidate.model)
    running = book.active(tx, candidate.model)
    trouble = proof.of(candidate).trouble
    if trouble is not None:
        champion = deployed.live if deployed else None
        _failed(tx, book.open_as(tx, candidate, champion=champion, status="failed", now=now), trouble, now=now)
        return "failed"
    if deployed is not None and holds.held(tx, candidate.model, now) is not None:
        return _queue(tx, candidate, deployed, now)
    if deployed is None or strategy == "direct":
        if running is not None:
            book.close_as(tx, running, "aborted", now)
        book.open_as(tx, candidate, champion=deployed.live if deployed else None, status="full", now=now)
        make_live(tx, deployed, candidate, columns=columns, who=GOVERNOR, why=why, now=now)
        return "full"
    if running is not None and on_new == "queue":
        return _queue(tx, candidate, deployed, now)
    if running is not None:
        book.close_as(tx, running, "aborted", now)
        set_stage(tx, candidate.model, running.candidate, "archived")
    _begin_shadow(tx, deployed, candidate, columns=columns, now=now, why=why)
    return "shadow"


def start_queued(
    tx: Transaction,
    waiting: Rollout,
    *,
    proof: Proof,
    strategy: Literal["direct", "shadow"],
    columns: Policy,
    now: datetime,
) -> Status:
    """The turn of a queued rollout has come; the status it comes to. Still `queued` where another moved meanwhile."""
    deployed = live.current(tx, waiting.model)
    held = holds.held(tx, waiting.model, now) is not None
    if deployed is None or held or book.active(tx, waiting.model) is not None or not book.stands(tx, waiting):
        return "queued"
    candidate = version(tx, waiting.model, waiting.candidate)
    stopped = _stopped(tx, waiting, candidate, proof, now)
    if stopped is not None:
        return stopped
    why = f"v{candidate.number}: its turn, after what it waited for"
    if strategy == "direct":
        book.close_as(tx, waiting, "full", now)
        make_live(tx, deployed, candidate, columns=columns, who=GOVERNOR, why=why, now=now)
        return "full"
    _begin_shadow(tx, deployed, candidate, columns=columns, now=now, why=why)
    return "shadow"


def go_full(tx: Transaction, rollout: Rollout, evidence: Evidence, *, proof: Proof, now: datetime, why: str) -> Status:
    """The shadow becomes the live version, the old one is archived; the status it comes to. Still `shadow` where another
    moved meanwhile.
    """
    deployed = live.current(tx, rollout.model)
    held = holds.held(tx, rollout.model, now) is not None
    if held or not book.stands(tx, rollout):
        return "shadow"
    candidate = version(tx, rollout.model, rollout.candidate)
    stopped = _stopped(tx, rollout, candidate, proof, now)
    if stopped is not None:
        _alone(tx, deployed, rollout, act=stopped, now=now, why=f"v{rollout.candidate} cannot answer")
        return stopped
    book.close_as(tx, rollout, "full", now)
    columns = deployed.columns if deployed else {}
    make_live(tx, deployed, candidate, columns=columns, who=GOVERNOR, why=why, now=now)
    # After the move, so that the decision carries the audit's head with it.
    book.decide(tx, rollout, verdict="full", now=now, why=why, evidence=evidence)
    return "full"


def abort(tx: Transaction, rollout: Rollout, evidence: Evidence, *, now: datetime, why: str) -> Status:
    """The champion goes on alone; the candidate is archived. Nothing where another moved meanwhile."""
    if not book.stands(tx, rollout):
        return "shadow"
    book.close_as(tx, rollout, "aborted", now)
    _alone(tx, live.current(tx, rollout.model), rollout, act="abort", now=now, why=why)
    set_stage(tx, rollout.model, rollout.candidate, "archived")
    book.decide(tx, rollout, verdict="aborted", now=now, why=why, evidence=evidence)
    return "aborted"


def make_live(
    tx: Transaction,
    deployed: Deployment | None,
    target: Version,
    *,
    columns: Policy,
    who: str,
    why: str,
    now: datetime,
    act: str = "promote",
    despite_gate: bool = False,
) -> Deployment:
    """Have the version answer, alone. Whoever calls this has proven that it can."""
    alone = Deployment(
        model=target.model,
        generation=0,
        live=target.number,
        bundles={target.number: (target.bundle, target.digest)},
        shadow=(),
        columns=columns,
        at=now,
    )
    replaces = deployed.generation if deployed else None
    return live.deploy(tx, alone, replaces=replaces, who=who, why=why, act=act, despite_gate=despite_gate)


def _stopped(tx: Transaction, rollout: Rollout, candidate: Version, proof: Proof, now: datetime) -> Status | None:
    """End the rollout of a version that may not answer, or cannot; how it ended. None: it may, and can."""
    hindered = hindrance(tx, rollout.model, rollout.candidate)
    if hindered is not None:
        book.end(tx, rollout, "aborted", now=now, why=hindered)
        return "aborted"
    trouble = proof.of(candidate).trouble
    if trouble is not None:
        _failed(tx, rollout, trouble, now=now)
        return "failed"
    return None


def _failed(tx: Transaction, rollout: Rollout, trouble: str, *, now: datetime) -> None:
    book.end(tx, rollout, "failed", now=now, why=f"v{rollout.candidate} cannot answer, and does not go live: {trouble}")
    set_stage(tx, rollout.model, rollout.candidate, "archived")


def _queue(tx: Transaction, candidate: Version, deployed: Deployment, now: datetime) -> Status:
    book.open_as(tx, candidate, champion=deployed.live, status="queued", now=now)
    set_stage(tx, candidate.model, candidate.number, "staging")
    return "queued"


def _begin_shadow(
    tx: Transaction, deployed: Deployment, candidate: Version, *, columns: Policy, now: datetime, why: str
) -> None:
    book.open_as(tx, candidate, champion=deployed.live, status="shadow", now=now)
    beside = {candidate.number: (candidate.bundle, candidate.digest)}
    shadowed = replace(
        deployed,
        bundles={deployed.live: deployed.bundles[deployed.live], **beside},
        shadow=(candidate.number,),
        columns=columns,
        at=now,
    )
    live.deploy(tx, shadowed, replaces=deployed.generation, who=GOVERNOR, why=why, act="shadow")


def _alone(
    tx: Transaction, deployed: Deployment | None, rollout: Rollout, *, act: str, now: datetime, why: str
) -> None:
    """The candidate scores no more rows beside what is live."""
    if deployed is not None and rollout.candidate in deployed.shadow:
        alone = replace(deployed, bundles={deployed.live: deployed.bundles[deployed.live]}, shadow=(), at=now)
        live.deploy(tx, alone, replaces=deployed.generation, who=GOVERNOR, why=why, act=act)

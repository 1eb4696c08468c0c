"""Moves that change what answers: start, full, abort, promote, roll back. Each is one transaction with its audit entry.

A bundle is loaded and answers its own example before any stage moves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from flyball.engine.session import load_engine
from flyball.errors import Conflict, Mistake, NotFound
from flyball.registry import approvals, decisions, holds, live
from flyball.registry.audit import GOVERNOR
from flyball.registry.records import Deployment, Version
from flyball.registry.versions import set_stage, version
from flyball.rollout import book
from flyball.rollout.state import Evidence, Rollout, Status
from flyball.store import Database, Home, Transaction, stamp

Policy = Mapping[str, Literal["keep", "hash", "drop"]]


def start(
    tx: Transaction,
    candidate: Version,
    *,
    strategy: Literal["direct", "shadow"],
    on_new: Literal["queue", "replace"],
    columns: Policy,
    now: datetime,
    why: str,
) -> Status:
    """Begin a candidate's rollout in the caller's transaction; the status it begins in. On a model that is held it waits."""
    deployed = live.current(tx, candidate.model)
    running = book.active(tx, candidate.model)
    if deployed is not None and holds.held(tx, candidate.model, now) is not None:
        return _queue(tx, candidate, deployed, now)
    if deployed is None or strategy == "direct":
        if running is not None:
            book.close_as(tx, running, "aborted", now)
        book.open_as(tx, candidate, champion=deployed.live if deployed else None, status="full", now=now)
        _make_live(tx, deployed, candidate, columns=columns, who=GOVERNOR, why=why, now=now)
        return "full"
    if running is not None and on_new == "queue":
        return _queue(tx, candidate, deployed, now)
    if running is not None:
        book.close_as(tx, running, "aborted", now)
        set_stage(tx, candidate.model, running.candidate, "archived")
    _begin_shadow(tx, deployed, candidate, columns=columns, now=now, why=why)
    return "shadow"


def start_queued(
    database: Database,
    waiting: Rollout,
    *,
    strategy: Literal["direct", "shadow"],
    columns: Policy,
    now: datetime,
) -> None:
    """The turn of a queued rollout has come."""
    candidate = version(database, waiting.model, waiting.candidate)
    with database.write() as tx:
        deployed = live.current(tx, waiting.model)
        if deployed is None or book.active(tx, waiting.model) is not None:
            return
        why = f"v{candidate.number}: its turn, after what it waited for"
        if strategy == "direct":
            book.close_as(tx, waiting, "full", now)
            _make_live(tx, deployed, candidate, columns=columns, who=GOVERNOR, why=why, now=now)
            return
        _begin_shadow(tx, deployed, candidate, columns=columns, now=now, why=why)


def go_full(database: Database, rollout: Rollout, evidence: Evidence, *, now: datetime, why: str) -> Deployment:
    """The shadow becomes the live version; the old one is archived."""
    candidate = version(database, rollout.model, rollout.candidate)
    with database.write() as tx:
        deployed = live.current(tx, rollout.model)
        book.close_as(tx, rollout, "full", now)
        _decide(tx, rollout, evidence, verdict="full", now=now, why=why)
        columns = deployed.columns if deployed else {}
        return _make_live(tx, deployed, candidate, columns=columns, who=GOVERNOR, why=why, now=now)


def abort(database: Database, rollout: Rollout, evidence: Evidence, *, now: datetime, why: str) -> None:
    """The champion goes on alone; the candidate is archived."""
    with database.write() as tx:
        deployed = live.current(tx, rollout.model)
        book.close_as(tx, rollout, "aborted", now)
        _decide(tx, rollout, evidence, verdict="aborted", now=now, why=why)
        if deployed is not None and rollout.candidate in deployed.shadow:
            alone = replace(deployed, bundles={deployed.live: deployed.bundles[deployed.live]}, shadow=(), at=now)
            live.deploy(tx, alone, replaces=deployed.generation, who=GOVERNOR, why=why, act="abort")
        set_stage(tx, rollout.model, rollout.candidate, "archived")


def promote(
    database: Database,
    home: Home,
    model: str,
    number: int,
    *,
    who: str,
    why: str,
    now: datetime,
    act: str = "promote",
    despite_bar: bool = False,
) -> Deployment:
    """Put a version live by hand, after proving that it loads and answers. A running rollout of the model is aborted.

    A barred version is refused; `despite_bar` lifts the bar. Raises NotFound, Mistake, Conflict, Corrupt.
    """
    target = version(database, model, number)
    load_engine(home.path / target.bundle, target.digest)
    with database.write() as tx:
        deployed = live.current(tx, model)
        barred = holds.barred(tx, model, number)
        if barred is not None and not despite_bar:
            raise Conflict(f"{barred}; `--despite-bar` promotes it all the same, and lifts the bar")
        approvals.require_approved(tx, model, number)
        holds.unbar(tx, model=model, version=number, now=now)
        if deployed is not None and deployed.live == number:
            raise Mistake(f"v{number} of {model} is live already, since {stamp(deployed.at)}; nothing to do")
        running = book.active(tx, model)
        if running is not None:
            book.close_as(tx, running, "full" if running.candidate == number else "aborted", now)
        waiting = next((item for item in book.with_status(tx, model, "queued") if item.candidate == number), None)
        if waiting is not None:
            book.close_as(tx, waiting, "full", now)
        if act == "rollback" and deployed is not None:
            holds.bar(tx, model=model, version=deployed.live, who=who, why=why, now=now)
            holds.hold(tx, model=model, kind="rollback", until=None, who=who, why=why, now=now)
        columns = deployed.columns if deployed else {}
        return _make_live(tx, deployed, target, columns=columns, who=who, why=why, now=now, act=act)


def approve(database: Database, home: Home, model: str, number: int, *, who: str, why: str, now: datetime) -> Status:
    """Let a version that waits for it go on, after proving that it loads and answers; the status its rollout begins in.

    Raises NotFound, Conflict (it waits no longer, or `who` is who wanted it), Corrupt.
    """
    target = version(database, model, number)
    load_engine(home.path / target.bundle, target.digest)
    with database.write() as tx:
        found = approvals.approve(tx, model=model, version=number, who=who, why=why, now=now)
        words = f"v{number} approved by {who}, wanted by {found.requested_by}: {why}"
        return start(tx, target, **found.rollout, now=now, why=words)


def rollback(database: Database, home: Home, model: str, *, who: str, why: str, now: datetime) -> Deployment:
    """Put the version back that was live before this one, bar this one, and hold the model until somebody lifts that.

    What a person sees wrong, the loop may not: left to itself it could train the same again from the same rows.
    """
    way = _way(database, model)
    if not way:
        raise NotFound(f"{model} has never been live; there is nothing to roll back")
    barred = {item.version for item in holds.bars(database, model)}
    before = [number for number in way[:-1] if number not in barred]
    if not before:
        raise Mistake(f"v{way[-1]} of {model} has no version before it; there is nothing to go back to")
    return promote(database, home, model, before[-1], who=who, why=why, now=now, act="rollback")


def _way(database: Database, model: str) -> list[int]:
    """How the present version was come to, without what was rolled back: nothing goes back to a bad version."""
    way: list[int] = []
    for row in database.all("SELECT act, becomes FROM audit WHERE model = :model ORDER BY id", model=model):
        found = re.match(r"v(\d+)", row["becomes"] or "")
        if found is None:
            continue
        number = int(found[1])
        if row["act"] == "rollback" and number in way:
            del way[len(way) - way[::-1].index(number) :]
        elif way[-1:] != [number]:
            way.append(number)
    return way


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


def _decide(tx: Transaction, rollout: Rollout, evidence: Evidence, *, verdict: str, now: datetime, why: str) -> None:
    decisions.decide(
        tx,
        model=rollout.model,
        at=now,
        kind="rollout",
        subject=f"v{rollout.candidate}",
        verdict=verdict,
        reason=why,
        evidence=evidence,
        dedup=f"rollout:{rollout.id}:{verdict}:{stamp(rollout.started_at)}",
    )


def _make_live(
    tx: Transaction,
    deployed: Deployment | None,
    target: Version,
    *,
    columns: Policy,
    who: str,
    why: str,
    now: datetime,
    act: str = "promote",
) -> Deployment:
    alone = Deployment(
        model=target.model,
        generation=0,
        live=target.number,
        bundles={target.number: (target.bundle, target.digest)},
        shadow=(),
        columns=columns,
        at=now,
    )
    return live.deploy(tx, alone, replaces=deployed.generation if deployed else None, who=who, why=why, act=act)

"""Moves by hand: promote, approve, roll back. Each is one transaction with its audit entry.

A bundle is loaded and answers its own example before any stage moves. What Flyball does by itself: `rollout.advance`.
"""

from __future__ import annotations

import re
from datetime import datetime

from flyball.errors import Conflict, Mistake, NotFound, Refused
from flyball.project.load import load_project
from flyball.registry import approvals, covered, holds, live
from flyball.registry.projects import projects
from flyball.registry.records import Deployment
from flyball.registry.versions import version
from flyball.rollout import book
from flyball.rollout.advance import make_live, start
from flyball.rollout.proof import Proof, prove
from flyball.rollout.state import Status
from flyball.store import Database, Home, Transaction, stamp
from flyball.store.checkpoints import Checkpoint, unwatched

#: where a move can die: the bundle has answered; all is written and not committed; all is committed. What follows, MLflow's
#: aliases, has transitions of its own: `loop.projecting`.
TRANSITIONS = ("proven", "written", "committed")

#: what an entry says of a deployment; "v7 archived" and "v7 approved" are none.
_DEPLOYED = re.compile(r"v(\d+)(?: \+ shadow v\d+)*")


def promote(
    database: Database,
    home: Home,
    model: str,
    number: int,
    *,
    who: str,
    why: str,
    now: datetime,
    despite_bar: bool = False,
    despite_gate: bool = False,
    checkpoint: Checkpoint = unwatched,
) -> Deployment:
    """Put a version live by hand, after proving that it loads and answers. A running rollout of the model is aborted.

    A version that its gate refused, or that is barred, is refused; `despite_gate` is kept in the audit, and goes not
    around four eyes; `despite_bar` lifts the bar. Raises NotFound, Mistake, Refused, Conflict, Corrupt.
    """
    _require_not_live(number, live.current(database, model))
    _require_gate(database, model, number, despite=despite_gate)
    return _go_live(
        database,
        home,
        model,
        number,
        who=who,
        why=why,
        now=now,
        act="promote",
        despite_bar=despite_bar,
        despite_gate=despite_gate,
        checkpoint=checkpoint,
    )


def approve(
    database: Database,
    home: Home,
    model: str,
    number: int,
    *,
    who: str,
    why: str,
    now: datetime,
    checkpoint: Checkpoint = unwatched,
) -> Status:
    """Let a version that waits for it go on, after proving that it loads and answers; the status its rollout begins in.

    Raises NotFound, Conflict (it waits no longer, or `who` is who wanted it), Corrupt.
    """
    target = version(database, model, number)
    prove(home, target)
    checkpoint("proven")
    proof = Proof(model=model, version=number, digest=target.digest, trouble=None)
    with database.write() as tx:
        found = approvals.approve(tx, model=model, version=number, who=who, why=why, now=now)
        words = f"v{number} approved by {who}, wanted by {found.requested_by}: {why}"
        status = start(tx, target, proof=proof, **found.rollout, now=now, why=words)
        checkpoint("written")
    checkpoint("committed")
    return status


def rollback(
    database: Database,
    home: Home,
    model: str,
    *,
    who: str,
    why: str,
    now: datetime,
    checkpoint: Checkpoint = unwatched,
) -> Deployment:
    """Put the version back that was live before this one, bar this one, and hold the model until somebody lifts that.

    What a person sees wrong, the loop may not: left to itself it could train the same again from the same rows. No gate is
    asked: the version has been live.
    """
    way = _way(database, model)
    if not way:
        raise NotFound(f"{model} has never been live; there is nothing to roll back")
    before = rollback_target(database, model)
    if before is None:
        barred = ", ".join(f"v{item.version}" for item in holds.bars(database, model))
        besides = f" that is not barred ({barred})" if barred else ""
        raise Mistake(
            f"v{way[-1]} of {model} has no version before it{besides}; there is nothing to go back to. "
            f"`flyball versions {model}` lists what there is, `flyball promote {model}@N` puts one live"
        )
    return _go_live(database, home, model, before, who=who, why=why, now=now, act="rollback", checkpoint=checkpoint)


def rollback_target(source: Transaction | Database, model: str) -> int | None:
    """The version that `rollback` would put live; None where there is none to go back to."""
    barred = {item.version for item in holds.bars(source, model)}
    way = _way(source, model)
    before = [number for number in way[:-1] if number not in barred and number != way[-1]]
    return before[-1] if before else None


def _go_live(
    database: Database,
    home: Home,
    model: str,
    number: int,
    *,
    who: str,
    why: str,
    now: datetime,
    act: str,
    despite_bar: bool = False,
    despite_gate: bool = False,
    checkpoint: Checkpoint,
) -> Deployment:
    target = version(database, model, number)
    prove(home, target)
    checkpoint("proven")
    with database.write() as tx:
        deployed = live.current(tx, model)
        _require_may(tx, model, number, deployed, despite_bar=despite_bar)
        holds.unbar(tx, model=model, version=number, now=now)
        _end_rollouts(tx, model, number, now=now, why=f"{act} of v{number} by {who}: {why}")
        if act == "rollback" and deployed is not None:
            _bar(tx, model, deployed.live, who=who, why=why, now=now)
        columns = deployed.columns if deployed else {}
        done = make_live(
            tx, deployed, target, columns=columns, who=who, why=why, now=now, act=act, despite_gate=despite_gate
        )
        checkpoint("written")
    checkpoint("committed")
    return done


def _require_gate(database: Database, model: str, number: int, *, despite: bool) -> None:
    """Raise Refused where the version's gate refused it and nobody says `despite`; Conflict where one person may not."""
    found = covered.gate_of(database, model, number)
    if found is not None and found["verdict"] == "passed":
        return
    said = f"v{number} of {model} was judged by no gate"
    if found is not None:
        reason = str(found["reason"]).removeprefix("refused: ")
        said = f"v{number} of {model} was refused by its gate: {reason}"
    directory = projects(database).get(model)
    if directory is not None and load_project(directory).gate.approval == "human":
        raise Conflict(
            f'{said}; under [gate] approval = "human" nobody puts it live alone: train one that passes, and have it approved'
        )
    if found is not None and not despite:
        raise Refused(f"{said}; `--despite-gate --why ...` promotes it all the same, and the audit keeps that")


def _require_may(tx: Transaction, model: str, number: int, deployed: Deployment | None, *, despite_bar: bool) -> None:
    barred = holds.barred(tx, model, number)
    if barred is not None and not despite_bar:
        raise Conflict(f"{barred}; `--despite-bar` promotes it all the same, and lifts the bar")
    approvals.require_approved(tx, model, number)
    _require_not_live(number, deployed)


def _require_not_live(number: int, deployed: Deployment | None) -> None:
    if deployed is not None and deployed.live == number:
        raise Mistake(f"v{number} of {deployed.model} is live already, since {stamp(deployed.at)}; nothing to do")


def _end_rollouts(tx: Transaction, model: str, number: int, *, now: datetime, why: str) -> None:
    """What is under way ends: as full, if it is what goes live. That version need not wait for its turn either."""
    running = book.active(tx, model)
    if running is not None and running.candidate != number:
        book.end(tx, running, "aborted", now=now, why=why)
    for item in (*book.with_status(tx, model, "shadow"), *book.with_status(tx, model, "queued")):
        if item.candidate == number:
            book.close_as(tx, item, "full", now)


def _bar(tx: Transaction, model: str, number: int, *, who: str, why: str, now: datetime) -> None:
    """The version may not answer again, nothing of it goes on, and nothing is done to the model by itself."""
    holds.bar(tx, model=model, version=number, who=who, why=why, now=now)
    holds.hold(tx, model=model, kind="rollback", until=None, who=who, why=why, now=now)
    book.end_open(tx, model, number, now=now, why=f"v{number} was barred by {who}: {why}")


def _way(database: Transaction | Database, model: str) -> list[int]:
    """How the present version was come to, without what was rolled back: nothing goes back to a bad version."""
    way: list[int] = []
    for row in database.all("SELECT act, becomes FROM audit WHERE model = :model ORDER BY id", model=model):
        found = _DEPLOYED.fullmatch(row["becomes"] or "")
        if found is None:
            continue
        number = int(found[1])
        if row["act"] == "rollback" and number in way:
            del way[len(way) - way[::-1].index(number) :]
        elif way[-1:] != [number]:
            way.append(number)
    return way

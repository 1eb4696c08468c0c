"""Putting a version away by hand: what it waited for ends with it, a queued rollout and an approval too."""

from __future__ import annotations

from datetime import datetime

from flyball.errors import Mistake
from flyball.registry import approvals, audit, live
from flyball.registry.versions import set_stage, version
from flyball.rollout import book
from flyball.store import Database


def archive(database: Database, model: str, number: int, *, who: str, why: str, now: datetime) -> int:
    """Archive a version; the audit entry's number. Raises NotFound, and Mistake for one that is live or a shadow."""
    name = f"v{number}"
    with database.write() as tx:
        found = version(tx, model, number)
        deployed = live.current(tx, model)
        if deployed is not None and number in (deployed.live, *deployed.shadow):
            raise Mistake(f"{name} of {model} is {found.stage}; promote another version first")
        entry = audit.record(
            tx,
            at=now,
            who=who,
            act="archive",
            model=model,
            was=f"{name} {found.stage}",
            becomes=f"{name} archived",
            why=why,
        )
        set_stage(tx, model, number, "archived")
        approvals.withdraw(tx, model=model, version=number, who=who, why=why, now=now)
        book.end_open(tx, model, number, now=now, why=f"{name} was archived by {who}: {why}")
    return entry

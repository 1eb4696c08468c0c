"""What the control plane does for an operator, through the rooms that know how: ask for a retrain, promote, roll back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flyball.dashboard.reads import require_model
from flyball.errors import Mistake
from flyball.registry import audit
from flyball.registry.records import Deployment
from flyball.registry.tokens import Principal
from flyball.store import Database, Home, emit, new_id
from flyball.store.ids import derived_id

#: kind of the outbox event that the loop answers with a run.
RETRAIN_REQUESTED = "retrain_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A retrain that was asked for; the loop begins it at its next tick."""

    id: str
    model: str


def request_retrain(
    database: Database, model: str, *, who: Principal, why: str, key: str | None, now: datetime
) -> Requested:
    """Ask the loop for a run. The same `key` (a client's Idempotency-Key) again is the same request."""
    require_model(database, model)
    request = derived_id("retrain", model, key) if key else new_id()
    dedup = f"{RETRAIN_REQUESTED}:{request}"
    with database.write() as tx:
        if tx.one("SELECT 1 FROM outbox WHERE dedup = :dedup", dedup=dedup) is None:
            payload = {"id": request, "model": model, "who": who.name, "why": _reason(why)}
            emit(tx, kind=RETRAIN_REQUESTED, payload=payload, dedup=dedup, at=now)
            audit.record(tx, at=now, who=who.name, act="retrain", model=model, was=None, becomes=request, why=why)
    return Requested(id=request, model=model)


def promote(
    home: Home,
    database: Database,
    model: str,
    number: int,
    *,
    who: Principal,
    why: str,
    now: datetime,
    despite_gate: bool = False,
) -> Deployment:
    """Put a version live, after proving that it loads; what its gate refused only where that is said."""
    from flyball.rollout import move  # loads the model runtime, which no page needs

    require_model(database, model)
    return move.promote(
        database, home, model, number, who=who.name, why=_reason(why), now=now, despite_gate=despite_gate
    )


def rollback(home: Home, database: Database, model: str, *, who: Principal, why: str, now: datetime) -> Deployment:
    """Put the version back that was live before."""
    from flyball.rollout import move  # loads the model runtime, which no page needs

    require_model(database, model)
    return move.rollback(database, home, model, who=who.name, why=_reason(why), now=now)


def _reason(why: str) -> str:
    if not why.strip():
        raise Mistake("say why: the audit keeps it, and whoever is on call next reads it")
    return why.strip()

"""What answers now, and what answered then. A deployment is appended, never edited; the newest of a model is served."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flyball.errors import Conflict
from flyball.registry.codec import dump, load_deployment
from flyball.registry.records import Deployment
from flyball.registry.versions import set_stage
from flyball.store import Database, Row, Transaction, stamp, utcnow

_SELECT = "SELECT generation, record FROM deployment"
_NEWEST_OF_EACH = (
    "SELECT generation, record FROM deployment"
    " WHERE generation IN (SELECT max(generation) FROM deployment GROUP BY model)"
)


def newest_generation(database: Database) -> int:
    """The newest deployment's number over all models; 0 when there is none. Cheap: workers poll it."""
    row = database.one("SELECT max(generation) AS newest FROM deployment")
    return int(row["newest"] or 0) if row else 0


def deployments(database: Database) -> dict[str, Deployment]:
    """Model -> its newest deployment."""
    rows = database.all(_NEWEST_OF_EACH)
    found = [_deployment(row) for row in rows]
    return {item.model: item for item in sorted(found, key=lambda item: item.model)}


def current(database: Database | Transaction, model: str) -> Deployment | None:
    row = database.one(f"{_SELECT} WHERE model = :model ORDER BY generation DESC LIMIT 1", model=model)
    return None if row is None else _deployment(row)


def live_at(database: Database, model: str, at: datetime) -> Deployment | None:
    """The deployment in force at decision time `at`; None before the first."""
    row = database.one(
        f"{_SELECT} WHERE model = :model AND at <= :at ORDER BY at DESC, generation DESC LIMIT 1",
        model=model,
        at=stamp(at),
    )
    return None if row is None else _deployment(row)


def move_of(database: Database, deployment: Deployment) -> tuple[str, str]:
    """Who made a deployment, and why."""
    row = database.one(
        "SELECT who, why FROM deployment WHERE generation = :generation", generation=deployment.generation
    )
    assert row is not None
    return row["who"], row["why"]


def history(database: Database, model: str) -> list[Deployment]:
    """Every deployment of a model, oldest first."""
    return [
        _deployment(row) for row in database.all(f"{_SELECT} WHERE model = :model ORDER BY generation", model=model)
    ]


def deploy(
    tx: Transaction,
    deployment: Deployment,
    *,
    replaces: int | None,
    who: str,
    why: str,
    act: str = "promote",
    despite_gate: bool = False,
) -> Deployment:
    """Append `deployment` and move the stages with it; the record with its generation. `act` names it in the audit,
    which keeps the gate's verdict on what goes live, and digests of both.

    `replaces` is the generation the caller saw (None: none): if another moved first, Conflict, and nothing is changed.
    """
    before = current(tx, deployment.model)
    if (before.generation if before else None) != replaces:
        raise Conflict(
            f"{deployment.model} was deployed by somebody else meanwhile "
            f"(generation {before.generation if before else None}, expected {replaces}); look again and decide anew"
        )
    generation = tx.insert(
        "INSERT INTO deployment (model, at, recorded_at, live, record, who, why)"
        " VALUES (:model, :at, :recorded_at, :live, :record, :who, :why)",
        model=deployment.model,
        at=stamp(deployment.at),
        recorded_at=stamp(utcnow()),
        live=deployment.live,
        record=dump(deployment),
        who=who,
        why=why,
    )
    from flyball.registry import audit, covered  # commands that only read do without them

    audit.record(
        tx,
        at=deployment.at,
        who=who,
        act=act,
        model=deployment.model,
        was=_say(before),
        becomes=_say(deployment),
        why=why,
        evidence={
            "gate": covered.gate_of(tx, deployment.model, deployment.live),
            "deployment": covered.deployment_of(tx, generation),
            **({"despite_gate": True} if despite_gate else {}),
        },
    )
    _move_stages(tx, before, deployment)  # after the entry: what it has told carries the chain's new head
    return replace(deployment, generation=generation)


def _move_stages(tx: Transaction, before: Deployment | None, after: Deployment) -> None:
    served = {after.live, *after.shadow}
    for number in {before.live, *before.shadow} - served if before else ():
        set_stage(tx, after.model, number, "archived")
    for number in after.shadow:
        set_stage(tx, after.model, number, "shadow")
    set_stage(tx, after.model, after.live, "production")


def _say(deployment: Deployment | None) -> str | None:
    if deployment is None:
        return None
    shadow = "".join(f" + shadow v{number}" for number in deployment.shadow)
    return f"v{deployment.live}{shadow}"


def _deployment(row: Row) -> Deployment:
    return load_deployment(row["record"], generation=row["generation"])

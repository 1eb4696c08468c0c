"""What keeps Flyball from acting by itself: a freeze, the hold that a rollback leaves, and versions that are barred.

A person's own acts go on; only a barred version asks them to say so. Each is written in the transaction of the act, with
its audit entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flyball.registry import audit
from flyball.store import Database, Row, Transaction, moment, stamp

#: in place of a model's name.
EVERY = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing is done to the model by itself from `since` on."""

    id: int
    #: EVERY for all of them.
    model: str
    kind: Literal["freeze", "rollback"]
    since: datetime
    #: None: until it is lifted.
    until: datetime | None
    who: str
    why: str

    def __str__(self) -> str:
        what = "frozen" if self.kind == "freeze" else "held since the rollback"
        lift = f"flyball freeze {self.model} --lift".replace("  ", " ")
        end = f"until {self.until:%Y-%m-%d %H:%M}Z" if self.until else f"until `{lift}`"
        return f"{what} by {self.who} at {self.since:%Y-%m-%d %H:%M}Z, {end}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The version may not answer again."""

    model: str
    version: int
    since: datetime
    who: str
    why: str

    def __str__(self) -> str:
        return f"v{self.version} of {self.model} was barred by {self.who} at {self.since:%Y-%m-%d %H:%M}Z: {self.why}"


def hold(
    tx: Transaction,
    *,
    model: str,
    kind: Literal["freeze", "rollback"],
    until: datetime | None,
    who: str,
    why: str,
    now: datetime,
) -> None:
    """Stop every automatic act on `model`, or on EVERY one. What a rollback leaves needs no audit entry of its own."""
    tx.run(
        "INSERT INTO hold (model, kind, since, until, who, why) VALUES (:model, :kind, :since, :until, :who, :why)",
        model=model,
        kind=kind,
        since=stamp(now),
        until=stamp(until) if until else None,
        who=who,
        why=why,
    )
    if kind == "freeze":
        becomes = f"frozen until {stamp(until)}" if until else "frozen"
        audit.record(tx, at=now, who=who, act="freeze", model=model, was=None, becomes=becomes, why=why)


def lift(tx: Transaction, *, model: str, who: str, why: str, now: datetime) -> list[Hold]:
    """End every hold of `model` (EVERY: those of all of them); what was ended."""
    ended = [item for item in _in_force(tx, now) if item.model == model]
    for item in ended:
        tx.run("UPDATE hold SET lifted_at = :now WHERE id = :id", now=stamp(now), id=item.id)
    if ended:
        kinds = ", ".join(sorted({item.kind for item in ended}))
        audit.record(tx, at=now, who=who, act="lift", model=model, was=kinds, becomes=None, why=why)
    return ended


def held(source: Transaction | Database, model: str, now: datetime) -> Hold | None:
    """What keeps Flyball from acting on `model` by itself at `now`: the oldest of them; None where nothing does."""
    return next((item for item in _in_force(source, now) if item.model in (model, EVERY)), None)


def holds(source: Transaction | Database, now: datetime) -> list[Hold]:
    """All that are in force, oldest first."""
    return _in_force(source, now)


def bar(tx: Transaction, *, model: str, version: int, who: str, why: str, now: datetime) -> None:
    """Keep a version from answering again; once is enough."""
    if barred(tx, model, version) is None:
        tx.run(
            "INSERT INTO bar (model, version, since, who, why) VALUES (:model, :version, :since, :who, :why)",
            model=model,
            version=version,
            since=stamp(now),
            who=who,
            why=why,
        )


def unbar(tx: Transaction, *, model: str, version: int, now: datetime) -> None:
    tx.run(
        "UPDATE bar SET lifted_at = :now WHERE model = :model AND version = :version AND lifted_at IS NULL",
        now=stamp(now),
        model=model,
        version=version,
    )


def barred(source: Transaction | Database, model: str, version: int) -> Bar | None:
    """Why the version may not answer; None where it may."""
    return next((item for item in bars(source, model) if item.version == version), None)


def bars(source: Transaction | Database, model: str) -> list[Bar]:
    """The model's barred versions, oldest first."""
    rows = source.all(
        "SELECT model, version, since, who, why FROM bar WHERE model = :model AND lifted_at IS NULL ORDER BY id",
        model=model,
    )
    return [Bar(**{**dict(row), "since": moment(row["since"])}) for row in rows]


def _in_force(source: Transaction | Database, now: datetime) -> list[Hold]:
    rows = source.all(
        "SELECT id, model, kind, since, until, who, why FROM hold WHERE lifted_at IS NULL"
        " AND (until IS NULL OR until > :now) ORDER BY id",
        now=stamp(now),
    )
    return [_hold(row) for row in rows]


def _hold(row: Row) -> Hold:
    until = moment(row["until"]) if row["until"] else None
    return Hold(**{**dict(row), "since": moment(row["since"]), "until": until})

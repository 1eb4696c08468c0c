"""Silences: alerts that nobody wants to hear of for a while. Told to nobody, kept all the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flyball.registry import audit
from flyball.store import Database, Transaction, moment, stamp

#: in place of a model's or an alert's name.
EVERY = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    id: int
    #: EVERY for all of them.
    model: str
    #: of the alert; EVERY for all of them.
    name: str
    since: datetime
    until: datetime
    who: str
    why: str

    def __str__(self) -> str:
        what = f"{self.model or 'every model'}, {self.name or 'every alert'}"
        return f"{what}: until {self.until:%Y-%m-%d %H:%M}Z, by {self.who} at {self.since:%Y-%m-%d %H:%M}Z: {self.why}"


def silence(tx: Transaction, *, model: str, name: str, until: datetime, who: str, why: str, now: datetime) -> None:
    """Keep alerts of `model` called `name` from every channel until `until`. In the audit."""
    tx.run(
        "INSERT INTO silence (model, name, since, until, who, why) VALUES (:model, :name, :since, :until, :who, :why)",
        model=model,
        name=name,
        since=stamp(now),
        until=stamp(until),
        who=who,
        why=why,
    )
    becomes = f"{name or 'every alert'} silent until {stamp(until)}"
    audit.record(tx, at=now, who=who, act="silence", model=model, was=None, becomes=becomes, why=why)


def lift(tx: Transaction, *, model: str, name: str, who: str, why: str, now: datetime) -> list[Silence]:
    """End the silences of exactly this model and alert; what was ended. In the audit."""
    ended = [item for item in silences(tx, now) if (item.model, item.name) == (model, name)]
    for item in ended:
        tx.run("UPDATE silence SET lifted_at = :now WHERE id = :id", now=stamp(now), id=item.id)
    if ended:
        was = f"{name or 'every alert'} silent"
        audit.record(tx, at=now, who=who, act="unsilence", model=model, was=was, becomes=None, why=why)
    return ended


def silences(source: Transaction | Database, now: datetime) -> list[Silence]:
    """All in force at `now`, oldest first."""
    rows = source.all(
        "SELECT id, model, name, since, until, who, why FROM silence"
        " WHERE lifted_at IS NULL AND until > :now ORDER BY id",
        now=stamp(now),
    )
    return [Silence(**{**dict(row), "since": moment(row["since"]), "until": moment(row["until"])}) for row in rows]


def silenced(found: list[Silence], *, model: str, name: str) -> bool:
    """Whether one of them covers the alert."""
    return any(item.model in (EVERY, model) and item.name in (EVERY, name) for item in found)

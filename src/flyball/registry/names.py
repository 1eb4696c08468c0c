"""Free aliases: names that people give to versions, `MODEL@NAME`, besides the stages. The database is the truth; MLflow's
aliases follow through the outbox. One that is only in MLflow is its user's own, and nothing is done to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from flyball.errors import Mistake, NotFound
from flyball.registry.records import Stage
from flyball.store import Database, Transaction, emit, moment, new_id, stamp, utcnow

STAGES: tuple[str, ...] = get_args(Stage)

#: what MLflow takes for an alias.
_TAKEN = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """One name of one version."""

    model: str
    name: str
    version: int
    at: datetime
    who: str
    why: str


def aliases(source: Database | Transaction, model: str) -> tuple[Alias, ...]:
    """All free aliases of a model, by name."""
    rows = source.all(
        "SELECT model, name, version, at, who, why FROM alias WHERE model = :model ORDER BY name", model=model
    )
    return tuple(Alias(**{**dict(row), "at": moment(row["at"])}) for row in rows)


def names_of(source: Database | Transaction, model: str, version: int) -> tuple[str, ...]:
    """The free aliases of one version."""
    return tuple(item.name for item in aliases(source, model) if item.version == version)


def numbers(source: Database | Transaction, model: str) -> dict[str, int]:
    """Alias -> version."""
    return {item.name: item.version for item in aliases(source, model)}


def set_alias(
    tx: Transaction, *, model: str, name: str, version: int, who: str, why: str, now: datetime
) -> tuple[int | None, int | None]:
    """Give a version a name, or move it there; the version it named before, and the audit's number.

    Where it names that version already nothing is written, and the number is None. Raises Mistake for a name that means
    something else.
    """
    refuse(tx, model, name)
    was = numbers(tx, model).get(name)
    if was == version:
        return was, None
    tx.run(
        "INSERT INTO alias (model, name, version, at, who, why) VALUES (:model, :name, :version, :at, :who, :why)"
        " ON CONFLICT (model, name) DO UPDATE SET version = excluded.version, at = excluded.at, who = excluded.who,"
        " why = excluded.why",
        model=model,
        name=name,
        version=version,
        at=stamp(now),
        who=who,
        why=why,
    )
    _emit(tx, model, ())
    return was, _audit(tx, model, name, was, version, who=who, why=why, now=now)


def delete_alias(tx: Transaction, *, model: str, name: str, who: str, why: str, now: datetime) -> tuple[int, int]:
    """Take a name away, from MLflow too; the version it named, and the audit's number. Raises NotFound naming those there are."""
    known = numbers(tx, model)
    if name not in known:
        there = ", ".join(known) or "none"
        raise NotFound(
            f"{model} has no alias {name!r} here (there is: {there}); one that is only in MLflow is deleted there"
        )
    tx.run("DELETE FROM alias WHERE model = :model AND name = :name", model=model, name=name)
    _emit(tx, model, (name,))
    return known[name], _audit(tx, model, name, known[name], None, who=who, why=why, now=now)


def refuse(source: Database | Transaction, model: str, name: str) -> None:
    """Raise Mistake where a name means something else already, or could be no alias in MLflow."""
    means = _meaning(source, model, name)
    if means is not None:
        raise Mistake(
            f"{name!r} cannot be an alias of {model}: {means}; choose another, for example `best` or `audited-2013`"
        )


def _meaning(source: Database | Transaction, model: str, name: str) -> str | None:
    if name.lower() in STAGES:
        return f"it is a stage ({', '.join(STAGES)}), which `flyball promote` and `archive` move"
    if re.fullmatch(r"[vV]?\d+", name):
        return "it reads as a version's number"
    if name.lower() == "latest":
        return "MLflow keeps it for the newest version"
    if not _TAKEN.fullmatch(name):
        return "MLflow takes letters without accents, digits, - and _, at most 255"
    known = source.one("SELECT 1 FROM version WHERE model = :model AND label = :name", model=model, name=name)
    if known is not None or re.match(rf"{re.escape(model)}-\d{{8}}(-|$)", name):
        return "it reads as a version's label"
    return None


def _emit(tx: Transaction, model: str, deleted: tuple[str, ...]) -> None:
    """Have MLflow's aliases follow; `deleted` are to be taken away there, for nothing else tells them from users' own."""
    payload = {"model": model, "deleted": list(deleted)}
    emit(tx, kind="aliases", payload=payload, dedup=f"aliases:{model}:{new_id()}", at=utcnow())


def _audit(
    tx: Transaction, model: str, name: str, was: int | None, becomes: int | None, *, who: str, why: str, now: datetime
) -> int:
    from flyball.registry import audit  # commands that only read do without it

    return audit.record(
        tx, at=now, who=who, act="alias", model=model, was=_say(name, was), becomes=_say(name, becomes), why=why
    )


def _say(name: str, number: int | None) -> str | None:
    return None if number is None else f"v{number} as {name}"

"""Rows beside the audit that its entries tell of by digest: live history, and the gate's decision on what went live."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from flyball.store import Database, Row, Transaction

#: table -> its key, then what its digest is of: whatever is never changed once written.
_TABLES = {
    "deployment": ("generation", "model", "at", "recorded_at", "live", "record", "who", "why"),
    "decision": ("id", "model", "at", "recorded_at", "kind", "subject", "verdict", "reason", "evidence", "dedup"),
}
_NAMES = {"deployment": "deployment", "decision": "gate decision"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One row that an entry tells of."""

    entry: int
    table: str
    number: int
    digest: str


def deployment_of(tx: Transaction, generation: int) -> dict[str, Any]:
    """Generation, version and digest of a deployment just written, for its audit entry."""
    row = _row(tx, "deployment", generation)
    assert row is not None
    return {"generation": generation, "live": row["live"], "digest": _digest("deployment", row)}


def gate_of(source: Transaction | Database, model: str, version: int) -> dict[str, Any] | None:
    """The newest verdict of a gate on the version, with its sentence, number and digest; None where none judged it."""
    row = source.one(
        f"{_select('decision')} WHERE model = :model AND kind = 'gate' AND subject = :subject ORDER BY id DESC LIMIT 1",
        model=model,
        subject=f"v{version}",
    )
    if row is None:
        return None
    digest = _digest("decision", row)
    return {"verdict": row["verdict"], "reason": row["reason"], "decision": row["id"], "digest": digest}


def told(entries: Iterable[Mapping[str, Any]]) -> list[Told]:
    """What the audit's rows tell of, in their order."""
    found = []
    for entry in entries:
        if entry["evidence"] is None:
            continue
        evidence = _evidence(entry["evidence"])
        for name, table, key in (("deployment", "deployment", "generation"), ("gate", "decision", "decision")):
            said = evidence.get(name)
            if isinstance(said, dict) and {key, "digest"} <= said.keys():
                found.append(Told(entry=entry["id"], table=table, number=said[key], digest=said["digest"]))
    return found


def changed(database: Database, told_of: Iterable[Told]) -> Iterator[tuple[int, str]]:
    """(Entry, what was done): rows that are gone or say something else, and live history that no entry tells of."""
    items = list(told_of)
    for table, (key, *_) in _TABLES.items():
        numbers = {item.number for item in items if item.table == table}
        if not numbers:
            continue
        there = {row[key]: row for row in _rows(database, table, min(numbers))}
        for item in (item for item in items if item.table == table):
            name, row = f"{_NAMES[table]} {item.number}", there.get(item.number)
            if row is None:
                yield item.entry, f"tells of {name}, which is gone"
            elif _digest(table, row) != item.digest:
                yield item.entry, f"tells of {name}, which was edited since"
        if table == "deployment":  # of decisions only those that put a version live are told of
            last = max(item.entry for item in items)
            for number in sorted(there.keys() - numbers):
                yield last, f"tells of no deployment {number}, nor does another entry: it was slipped in"


def _row(tx: Transaction, table: str, number: int) -> Row | None:
    return tx.one(f"{_select(table)} WHERE {_TABLES[table][0]} = :number", number=number)


def _rows(database: Database, table: str, least: int) -> list[Row]:
    return database.all(f"{_select(table)} WHERE {_TABLES[table][0]} >= :least", least=least)


def _select(table: str) -> str:
    return f"SELECT {', '.join(_TABLES[table])} FROM {table}"  # noqa: S608 - names of our own


def _digest(table: str, row: Row) -> str:
    return hashlib.sha256(orjson.dumps([row[name] for name in _TABLES[table]])).hexdigest()


def _evidence(text: str) -> Mapping[str, Any]:
    """An entry that was tampered with is found by its own digest; what it tells of is then nobody's word."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}

"""The audit as a chain of digests: an entry edited, deleted, moved or slipped in breaks it, and says where.

Each entry's digest is SHA-256 over its fields and the digest before it (Haber and Stornetta 1991). Whoever can write the
database could rewrite the whole chain, or cut off its end; so its head goes out with every decision, alert and move of a
stage, and to MLflow with these, and a chain that does not pass through a head that was seen elsewhere is found out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from flyball.errors import Mistake
from flyball.registry import covered
from flyball.store import Database, Row, Transaction

_FIELDS = ("id", "at", "recorded_at", "who", "act", "model", "was", "becomes", "why", "previous")
_values = itemgetter(*_FIELDS)
_SELECT = f"SELECT {', '.join(_FIELDS)}, evidence, digest FROM audit"  # noqa: S608 - names of our own
_HEAD = re.compile(r"(\d+):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that was done to the audit."""

    #: number of the entry it shows at.
    entry: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What looking at every entry found."""

    entries: int
    #: heads that were looked for in the chain: those kept with decisions, alerts and events, and those that were given.
    heads: int
    #: rows of live history and gate decisions that entries tell of, and that were held against what was told.
    told_of: int
    #: `number:digest` of the last entry; None where there is none.
    head: str | None
    faults: tuple[Fault, ...]


def seal(tx: Transaction, entry: int) -> None:
    """Chain the entry just appended to the one before it."""
    last = tx.one("SELECT digest FROM audit WHERE id < :id ORDER BY id DESC LIMIT 1", id=entry)
    previous = "" if last is None else last["digest"] or _unchained(tx, entry)
    row = tx.one(f"{_SELECT} WHERE id = :id", id=entry)
    assert row is not None
    tx.run(
        "UPDATE audit SET previous = :previous, digest = :digest WHERE id = :id",
        previous=previous,
        digest=_digest({**dict(row), "previous": previous}),
        id=entry,
    )


def head(source: Transaction | Database) -> str | None:
    """`number:digest` of the last entry; None where there is none, or none that is chained."""
    row = source.one("SELECT id, digest FROM audit ORDER BY id DESC LIMIT 1")
    return f"{row['id']}:{row['digest']}" if row and row["digest"] else None


def verify(database: Database, heads: Iterable[str] = (), witnesses: Mapping[str, str] | None = None) -> Verified:
    """Look at every entry, at the rows it tells of, and for every head that is kept in other tables, that a witness outside
    the database keeps (`witnesses`: head -> where, as `is kept with MLflow's late`) or that is given in `heads`.

    Heads are written `number:digest`; raises Mistake for one given that is none.
    """
    given = tuple(heads)
    for text in given:
        if _HEAD.fullmatch(text) is None:
            raise Mistake(
                f"{text!r} is no head of an audit; it is written NUMBER:DIGEST, as `flyball audit verify` ends"
            )
    rows = database.all(f"{_SELECT} ORDER BY id")
    wanted = {**_kept(database), **(witnesses or {}), **dict.fromkeys(given, "was given")}
    told = covered.told(rows)
    changed = (Fault(entry=entry, what=what) for entry, what in covered.changed(database, told))
    faults = (*_faults(rows, database), *_missed(rows, wanted), *_cut(rows, database), *changed)
    return Verified(
        entries=len(rows),
        heads=len(wanted),
        told_of=len(told),
        head=head(database),
        faults=tuple(sorted(faults, key=lambda fault: fault.entry)),
    )


def _digest(row: Mapping[str, Any]) -> str:
    # An entry from before there was evidence keeps its digest.
    evidence = () if row["evidence"] is None else (row["evidence"],)
    return hashlib.sha256(orjson.dumps([*_values(row), *evidence])).hexdigest()


def _unchained(source: Transaction | Database, before: int) -> str:
    """One digest over all entries from before there was a chain."""
    rows = source.all(f"{_SELECT} WHERE id < :before AND digest IS NULL ORDER BY id", before=before)
    return hashlib.sha256(b"".join(_digest(row).encode() for row in rows)).hexdigest()


def _faults(rows: list[Row], database: Database) -> Iterator[Fault]:
    """Entries whose digest is not theirs, or that do not follow on the one before them."""
    before: Row | None = None
    for row in rows:
        if row["digest"] is None:
            if before is not None and before["digest"] is not None:
                yield Fault(entry=row["id"], what="was slipped in: it is in no chain")
            before = row
            continue
        if _digest(row) != row["digest"]:
            yield Fault(entry=row["id"], what="was edited: its digest is that of other words")
        follows = "" if before is None else before["digest"] or _unchained(database, row["id"])
        if row["previous"] != follows:
            lost = _gap(before, row)
            yield Fault(entry=row["id"], what=f"does not follow on {_name(before)}: {lost} in between")
        before = row


def _gap(before: Mapping[str, Any] | None, row: Mapping[str, Any]) -> str:
    apart = row["id"] - (before["id"] if before else 0)
    return "entries were deleted" if apart > 1 else "entries were edited, moved or exchanged"


def _name(row: Mapping[str, Any] | None) -> str:
    return "the beginning" if row is None else f"#{row['id']}"


def _kept(database: Database) -> dict[str, str]:
    """Every head that is kept with a decision, an alert or an event of the outbox -> where."""
    found: dict[str, str] = {}
    for table in ("decision", "alert"):
        # The first row that keeps a head is the one that is named: it comes last here.
        sql = f"SELECT audit_head, id FROM {table} WHERE audit_head IS NOT NULL ORDER BY id DESC"  # noqa: S608
        found |= {row["audit_head"]: f"is kept with {table} {row['id']}" for row in database.all(sql)}
    for row in database.all("SELECT id, payload FROM outbox WHERE payload LIKE '%\"audit_head\"%' ORDER BY id DESC"):
        text = orjson.loads(row["payload"]).get("audit_head")
        if text:
            found.setdefault(text, f"is kept with event {row['id']}")
    return found


def _missed(rows: list[Row], wanted: Mapping[str, str]) -> Iterator[Fault]:
    digests = {row["id"]: row["digest"] for row in rows}
    last = max(digests, default=0)
    for text, where in wanted.items():
        match = _HEAD.fullmatch(text)
        if match is None:
            yield Fault(entry=last, what=f"has no witness in {text[:80]!r}, which is no head and {where}")
            continue
        number, digest = int(match[1]), match[2]
        if number > last:
            yield Fault(entry=number, what=f"is missing: the audit ends at #{last}, and a later head {where}")
        elif number not in digests:
            yield Fault(entry=number, what=f"is gone: its head {where}")
        elif digests[number] != digest:
            yield Fault(entry=number, what=f"is another entry than the one whose head {where}")


def _cut(rows: list[Row], database: Database) -> Iterator[Fault]:
    """SQLite counts what it ever numbered."""
    given = database.last_number("audit")
    last = rows[-1]["id"] if rows else 0
    if given is not None and given > last:
        yield Fault(entry=last + 1, what=f"is missing: entries up to #{given} were written, the audit ends at #{last}")

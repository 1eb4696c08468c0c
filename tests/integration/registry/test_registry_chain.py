"""The audit's chain: whatever is done to the table behind Flyball's back is found, and where."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyball.errors import Mistake
from flyball.loop.alerts import open_alert
from flyball.registry import audit, chain
from flyball.registry.decisions import decide, decisions
from flyball.store import Database, Home, open_database
from flyball.store.migrate import migrations

NOW = datetime(2013, 4, 8, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, environ: Mapping[str, str]) -> Iterator[Database]:
    """An audit of five entries, in each kind of database."""
    opened = open_database(Home(tmp_path / "home"), environ)
    for number in range(1, 6):
        record(opened, number)
    yield opened
    opened.close()


def record(database: Database, number: int, who: str = audit.GOVERNOR) -> None:
    with database.write() as tx:
        audit.record(
            tx, at=NOW, who=who, act="promote", model="late", was=None, becomes=f"v{number}", why=f"reason {number}"
        )


def found(database: Database, *heads: str) -> list[tuple[int, str]]:
    return [(fault.entry, fault.what) for fault in chain.verify(database, heads).faults]


def tamper(database: Database, *statements: str) -> None:
    """As somebody would who may write to the database, and knows nothing of the chain."""
    with database.write() as tx:
        for statement in statements:
            tx.run(statement)


def test_an_audit_left_alone_is_whole(database: Database) -> None:
    """And its head is that of the last entry."""
    verified = chain.verify(database)
    assert (verified.entries, verified.faults) == (5, ())
    assert verified.head is not None
    assert verified.head.startswith("5:")
    assert found(database, verified.head) == []


@pytest.mark.parametrize("column", ["at", "recorded_at", "who", "act", "model", "was", "becomes", "why"])
def test_an_edited_entry_is_found(database: Database, column: str) -> None:
    """Whatever was edited."""
    tamper(database, f"UPDATE audit SET {column} = 'eve' WHERE id = 3")
    assert found(database) == [(3, "was edited: its digest is that of other words")]


def test_a_deleted_entry_is_found(database: Database) -> None:
    """At the entry that followed on it."""
    tamper(database, "DELETE FROM audit WHERE id = 3")
    assert found(database) == [(4, "does not follow on #2: entries were deleted in between")]


def test_exchanged_entries_are_found(database: Database) -> None:
    """Their numbers are among what their digests are of."""
    tamper(
        database,
        "UPDATE audit SET id = 90 WHERE id = 2",
        "UPDATE audit SET id = 2 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 90",
    )
    assert {entry for entry, _ in found(database)} >= {2, 3, 4}


def test_an_entry_slipped_in_is_found(database: Database) -> None:
    """It is in no chain."""
    tamper(
        database,
        "INSERT INTO audit (at, recorded_at, who, act, model, why) VALUES ('', '', 'eve', 'promote', 'late', '')",
    )
    assert found(database) == [(6, "was slipped in: it is in no chain")]


@pytest.fixture
def counted(environ: Mapping[str, str]) -> str:
    """Where the database counts the keys it gave."""
    return "numbering" if environ else "sqlite_sequence"


def test_an_audit_cut_short_is_found_by_what_the_database_counted(database: Database, counted: str) -> None:
    """And whoever mends the count too, by a head that went out before."""
    kept = chain.head(database)
    assert kept is not None
    tamper(database, "DELETE FROM audit WHERE id > 3")
    assert found(database) == [(4, "is missing: entries up to #5 were written, the audit ends at #3")]
    tamper(database, f"UPDATE {counted} SET seq = 3 WHERE name = 'audit'")
    assert found(database) == []
    assert found(database, kept) == [(5, "is missing: the audit ends at #3, and a later head was given")]


def test_heads_go_out_with_decisions_and_alerts(database: Database, counted: str) -> None:
    """An audit cut short and written on misses both: the entries under their numbers are others."""
    with database.write() as tx:
        open_alert(tx, model="late", name="drift", severity="warning", title="", evidence={}, at=NOW)
    record(database, 6)
    with database.write() as tx:
        decide(
            tx, model="late", at=NOW, kind="gate", subject="v6", verdict="passed", reason="", evidence={}, dedup="one"
        )
    assert chain.verify(database).heads == 2
    tamper(database, "DELETE FROM audit WHERE id > 4", f"UPDATE {counted} SET seq = 4 WHERE name = 'audit'")
    record(database, 7)
    assert found(database) == [
        (5, "is another entry than the one whose head is kept with alert 1"),
        (6, "is missing: the audit ends at #5, and a later head is kept with decision 1"),
    ]


def test_what_a_person_did_cannot_be_cut_off(database: Database, counted: str) -> None:
    """It is a decision too, which keeps the chain's head: the end cut off and the count mended, it is missed there."""
    record(database, 6, who="ada")
    (act,) = decisions(database, "late", kind="act")
    assert (act.subject, act.verdict, act.reason) == ("v6", "promote", "ada: reason 6")
    assert act.evidence["audit_head"] == chain.head(database)
    tamper(database, "DELETE FROM audit WHERE id > 5", f"UPDATE {counted} SET seq = 5 WHERE name = 'audit'")
    assert found(database) == [(6, "is missing: the audit ends at #5, and a later head is kept with decision 1")]


def test_a_witness_outside_is_believed_like_a_head_that_was_given(database: Database, counted: str) -> None:
    """A head that MLflow keeps is missed by its place; a tag that somebody wrote over is said to be no head."""
    kept = chain.head(database)
    assert kept is not None
    told = {kept: "is kept with MLflow's late", "nonsense": "is kept with MLflow's soon"}
    assert [(item.entry, item.what) for item in chain.verify(database, witnesses=told).faults] == [
        (5, "has no witness in 'nonsense', which is no head and is kept with MLflow's soon")
    ]
    tamper(database, "DELETE FROM audit WHERE id > 3", f"UPDATE {counted} SET seq = 3 WHERE name = 'audit'")
    del told["nonsense"]
    assert [(item.entry, item.what) for item in chain.verify(database, witnesses=told).faults] == [
        (5, "is missing: the audit ends at #3, and a later head is kept with MLflow's late")
    ]


def test_a_head_that_is_none_is_refused(database: Database) -> None:
    """A typing mistake is no evidence."""
    with pytest.raises(Mistake, match="NUMBER:DIGEST"):
        chain.verify(database, ["5"])


def test_entries_from_before_the_chain_are_held_by_its_first(tmp_path: Path) -> None:
    """A home of the release before: its old entries cannot be edited unseen either, once an act has followed."""
    home = Home(tmp_path / "home").made()
    with closing(sqlite3.connect(home.database)) as connection:
        for number, sql in migrations().items():
            if number < 3:
                connection.executescript(sql)
                connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(
            "INSERT INTO audit (at, recorded_at, who, act, model, why) VALUES ('', '', 'ada', 'promote', 'late', '')"
        )
        connection.commit()
    database = open_database(home)
    assert chain.verify(database).head is None
    record(database, 2)
    assert found(database) == []
    tamper(database, "UPDATE audit SET who = 'eve' WHERE id = 1")
    assert found(database) == [(2, "does not follow on #1: entries were edited, moved or exchanged in between")]
    database.close()

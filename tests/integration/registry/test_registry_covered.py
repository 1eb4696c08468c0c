"""What the audit tells of by digest: live history and gate decisions that were changed behind Flyball's back are found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyball.registry import audit, chain, live
from flyball.registry.decisions import decide
from flyball.registry.records import Deployment
from flyball.store import Database, Home, open_database

NOW = datetime(2013, 4, 8, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, environ: Mapping[str, str]) -> Iterator[Database]:
    """v1, v2 and v3 went live a day after another, each passed by its gate; in each kind of database."""
    opened = open_database(Home(tmp_path / "home"), environ)
    for number in (1, 2, 3):
        put_live(opened, number)
    yield opened
    opened.close()


@pytest.fixture
def counted(environ: Mapping[str, str]) -> str:
    """Where the database counts the keys it gave."""
    return "numbering" if environ else "sqlite_sequence"


def put_live(database: Database, number: int) -> None:
    at = NOW + timedelta(days=number)
    with database.write() as tx:
        decide(
            tx,
            model="late",
            at=at,
            kind="gate",
            subject=f"v{number}",
            verdict="passed",
            reason=f"passed: better than v{number - 1}",
            evidence={},
            dedup=f"gate:{number}",
        )
        before = live.current(tx, "late")
        bundles = {number: (f"runs/{number}/bundle", "b" * 64)}
        record = Deployment(model="late", generation=0, live=number, bundles=bundles, shadow=(), columns={}, at=at)
        live.deploy(tx, record, replaces=before.generation if before else None, who="flyball", why="passed")


def found(database: Database) -> list[tuple[int, str]]:
    return [(fault.entry, fault.what) for fault in chain.verify(database).faults]


def tamper(database: Database, *statements: str) -> None:
    with database.write() as tx:
        for statement in statements:
            tx.run(statement)


def test_live_history_left_alone_is_as_the_audit_tells(database: Database) -> None:
    """Three deployments and three verdicts; every entry names the gate's."""
    verified = chain.verify(database)
    assert (verified.faults, verified.told_of) == ((), 6)
    assert [item.gate for item in audit.entries(database)] == ["passed"] * 3


@pytest.mark.parametrize(
    "change", ["live = 9", "record = '{}'", "at = '2013-04-09T00:00:00Z'", "who = 'eve'", "why = ''"]
)
def test_an_edited_deployment_is_found(database: Database, change: str) -> None:
    """Whatever was edited."""
    tamper(database, f"UPDATE deployment SET {change} WHERE generation = 2")
    assert found(database) == [(2, "tells of deployment 2, which was edited since")]


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_deleted_deployment_is_found(database: Database, generation: int) -> None:
    """The first, one in between, and the last."""
    tamper(database, f"DELETE FROM deployment WHERE generation = {generation}")
    assert found(database) == [(generation, f"tells of deployment {generation}, which is gone")]


def test_exchanged_deployments_are_found(database: Database) -> None:
    """Their numbers are among what their digests are of."""
    tamper(
        database,
        "UPDATE deployment SET generation = 90 WHERE generation = 1",
        "UPDATE deployment SET generation = 1 WHERE generation = 2",
        "UPDATE deployment SET generation = 2 WHERE generation = 90",
    )
    assert [entry for entry, _ in found(database)] == [1, 2]


def test_a_deployment_slipped_in_is_found(database: Database) -> None:
    """What workers serve, and no entry tells of."""
    tamper(
        database,
        "INSERT INTO deployment (model, at, recorded_at, live, record, who, why)"
        " SELECT model, at, recorded_at, 1, record, who, why FROM deployment WHERE generation = 1",
    )
    assert found(database) == [(3, "tells of no deployment 4, nor does another entry: it was slipped in")]


def test_an_edited_verdict_is_found(database: Database) -> None:
    """That of a version that went live."""
    tamper(database, "UPDATE decision SET reason = 'passed: by far' WHERE subject = 'v2'")
    assert found(database) == [(2, "tells of gate decision 2, which was edited since")]


def test_what_an_entry_rests_on_cannot_be_edited_either(database: Database) -> None:
    """Evidence is among what an entry's digest is of; taken away, it is missed."""
    tamper(database, "UPDATE audit SET evidence = NULL WHERE id = 2")
    assert (2, "was edited: its digest is that of other words") in found(database)


def test_every_move_of_a_stage_carries_the_head(database: Database, counted: str) -> None:
    """In the outbox, for MLflow: the audit and its count cut short together, the last move is missed."""
    with database.write() as tx:
        heads = tx.one("SELECT count(*) AS n FROM outbox WHERE payload LIKE '%audit_head%'")
    assert heads is not None
    assert heads["n"] == 5  # v1; v2 and v1; v3 and v2
    tamper(
        database,
        "DELETE FROM deployment WHERE generation = 3",
        "DELETE FROM audit WHERE id = 3",
        f"UPDATE {counted} SET seq = 2 WHERE name IN ('audit', 'deployment')",
    )
    assert found(database) == [(3, "is missing: the audit ends at #2, and a later head is kept with event 5")]

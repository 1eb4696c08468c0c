"""Free aliases in a real database of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from flyball.errors import Mistake, NotFound
from flyball.registry import audit, chain
from flyball.registry.names import Alias, aliases, delete_alias, names_of, set_alias
from flyball.registry.versions import find, register
from flyball.store import Database, Home, open_database
from flyball.store.outbox import pending
from tests.integration.registry.test_registry_live import MARCH, made


@pytest.fixture
def database(tmp_path: Path, environ: Mapping[str, str]) -> Iterator[Database]:
    """Two versions of m, in a database of each kind."""
    opened = open_database(Home(tmp_path / ".flyball"), environ)
    with opened.write() as tx:
        register(tx, made(1))
        register(tx, made(2))
    yield opened
    opened.close()


def give(database: Database, name: str, version: int) -> tuple[int | None, int | None]:
    with database.write() as tx:
        return set_alias(tx, model="m", name=name, version=version, who="ada", why="audited", now=MARCH)


def test_an_alias_names_a_version_until_it_is_moved_or_deleted(database: Database) -> None:
    """Each is one entry of the audit and one event for MLflow; to say the same again is neither."""
    assert give(database, "best", 1) == (None, 1)
    assert find(database, "m", "best").number == 1
    assert give(database, "best", 2) == (1, 2)
    assert give(database, "best", 2) == (2, None)
    (kept,) = aliases(database, "m")
    assert kept == Alias(model="m", name="best", version=2, at=MARCH, who="ada", why="audited")
    assert (names_of(database, "m", 1), names_of(database, "m", 2)) == ((), ("best",))
    with database.write() as tx:
        later = MARCH + timedelta(days=1)
        assert delete_alias(tx, model="m", name="best", who="bob", why="wrong", now=later) == (2, 3)
    found = [(item.who, item.act, item.was, item.becomes) for item in reversed(audit.entries(database))]
    assert found == [
        ("ada", "alias", None, "v1 as best"),
        ("ada", "alias", "v1 as best", "v2 as best"),
        ("bob", "alias", "v2 as best", None),
    ]
    assert chain.verify(database).faults == ()
    told = [event.payload["deleted"] for event in pending(database) if event.kind == "aliases"]
    assert told == [[], [], ["best"]]
    with pytest.raises(NotFound, match=r"no version 'best' of m \(versions 1, 2; or .* a label, an alias\)"):
        find(database, "m", "best")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("production", "it is a stage"),
        ("Staging", "it is a stage"),
        ("archived", "it is a stage"),
        ("none", "it is a stage"),
        ("7", "a version's number"),
        ("v7", "a version's number"),
        ("V7", "a version's number"),
        ("latest", "MLflow keeps it"),
        ("LATEST", "MLflow keeps it"),
        (made(1).label, "a version's label"),
        ("m-20140101-00000000-lgbm", "a version's label"),
        ("my best", "MLflow takes letters"),
        ("größte", "MLflow takes letters"),
        ("", "MLflow takes letters"),
        ("a" * 256, "MLflow takes letters"),
    ],
)
def test_a_name_that_means_something_else_is_refused_with_the_reason(tmp_path: Path, name: str, why: str) -> None:
    """And nothing is written."""
    database = open_database(Home(tmp_path / ".flyball"))
    with database.write() as tx:
        register(tx, made(1))
    with pytest.raises(Mistake, match=why):
        give(database, name, 1)
    assert (aliases(database, "m"), audit.entries(database), pending(database)) == ((), [], [])
    database.close()


def test_what_is_no_alias_here_cannot_be_deleted(database: Database) -> None:
    """The message names those there are, and where one that is only in MLflow is deleted."""
    give(database, "best", 1)
    with (
        pytest.raises(NotFound, match=r"no alias 'bset' here \(there is: best\); one that is only in MLflow"),
        database.write() as tx,
    ):
        delete_alias(tx, model="m", name="bset", who="ada", why="", now=MARCH)

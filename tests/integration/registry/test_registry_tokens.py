"""Tokens: shown once, kept as digests, readable by their owner only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyball.errors import Mistake, NotFound
from flyball.registry.audit import entries
from flyball.registry.tokens import (
    Grant,
    create_token,
    digest_of,
    first_token,
    grants,
    principal_of,
    revoke_token,
    role_of,
    tokens,
)
from flyball.store import Database, Home, open_database

NOW = datetime(2013, 7, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".flyball")


@pytest.fixture
def database(home: Home, environ: Mapping[str, str]) -> Iterator[Database]:
    """An empty one, of each kind."""
    opened = open_database(home, environ)
    yield opened
    opened.close()


def test_a_token_has_the_role_it_was_made_with(database: Database) -> None:
    """Two tokens, two roles; nobody's token has none."""
    viewer, operator = (create_token(database, role, role, NOW) for role in ("viewer", "operator"))
    assert [role_of(database, token) for token in (viewer, operator, "", viewer[:-1])] == [
        "viewer",
        "operator",
        None,
        None,
    ]


def test_a_token_carries_the_name_that_the_audit_records(database: Database) -> None:
    """Who acted is the token's name; its making is audited too."""
    token = create_token(database, "ci", "operator", NOW)
    found = principal_of(database, token)
    assert found is not None
    assert (found.name, found.may_act) == ("ci", True)
    assert entries(database)[0].becomes == "ci (operator)"


def test_the_database_holds_the_digest_only(database: Database, home: Home) -> None:
    """SHA-256; the token is in no file of the database."""
    token = create_token(database, "ci", "viewer", NOW)
    row = database.one("SELECT digest FROM token")
    assert row is not None
    assert row["digest"] == hashlib.sha256(token.encode()).hexdigest()
    for file in home.path.glob("flyball.db*"):
        assert token.encode() not in file.read_bytes()


def test_an_unknown_role_a_taken_name_and_no_name_are_refused(database: Database) -> None:
    """Each message names what is allowed."""
    create_token(database, "ci", "viewer", NOW)
    with pytest.raises(Mistake, match="viewer, operator, admin"):
        create_token(database, "other", "root", NOW)
    with pytest.raises(Mistake, match="'ci' already"):
        create_token(database, "ci", "admin", NOW)
    with pytest.raises(Mistake, match="needs a name"):
        create_token(database, "", "admin", NOW)


def test_the_first_token_is_made_once_and_is_its_owners_only(home: Home, database: Database) -> None:
    """Admin, mode 0600, the same at every start."""
    token = first_token(home, database, NOW)
    assert (home.path / "token").stat().st_mode & 0o777 == 0o600
    assert role_of(database, token) == "admin"
    assert first_token(home, database, NOW) == token


def test_workers_learn_of_tokens_with_a_scope_only(database: Database) -> None:
    """Digest, scopes and model; a token of the dashboard is none of their business."""
    create_token(database, "ci", "admin", NOW)
    token = create_token(database, "app", "client", NOW, scopes=["predict", "outcomes", "predict"], model="churn")
    assert grants(database) == (Grant(digest=digest_of(token.encode()), scopes=("outcomes", "predict"), model="churn"),)
    assert entries(database)[0].becomes == "app (client, outcomes, predict, only churn)"


def test_a_client_without_a_scope_and_an_unknown_scope_are_refused(database: Database) -> None:
    """A token that opens nothing, or nobody knows what, is a mistake."""
    with pytest.raises(Mistake, match="--scope predict or outcomes"):
        create_token(database, "app", "client", NOW)
    with pytest.raises(Mistake, match="write: not a scope; there are predict, outcomes"):
        create_token(database, "app", "client", NOW, scopes=["predict", "write"])


def test_a_revoked_token_is_nobodys(database: Database) -> None:
    """Gone from the list, the grants and the door; the audit has it; an unknown name is told what there is."""
    token = create_token(database, "app", "client", NOW, scopes=["predict"])
    create_token(database, "ci", "viewer", NOW)
    revoke_token(database, "app", NOW)
    assert [item.name for item in tokens(database)] == ["ci"]
    assert (grants(database), principal_of(database, token)) == ((), None)
    assert (entries(database)[0].was, entries(database)[0].becomes) == ("app", None)
    with pytest.raises(NotFound, match="no token named 'app'; there is ci"):
        revoke_token(database, "app", NOW)


@pytest.mark.parametrize("kept", [None, "", "flyball_of-another-home"])
def test_a_first_token_that_was_lost_is_replaced(home: Home, database: Database, kept: str | None) -> None:
    """The file gone, empty, or from elsewhere: a new token, and the lost one is no longer known."""
    lost = first_token(home, database, NOW)
    path = home.path / "token"
    if kept is None:
        path.unlink()
    else:
        path.write_text(kept)
    token = first_token(home, database, NOW)
    assert (role_of(database, token), role_of(database, lost)) == ("admin", None)

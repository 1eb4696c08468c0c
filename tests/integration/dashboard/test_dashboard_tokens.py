"""Tokens: shown once, kept as digests, readable by their owner only."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from flyball.dashboard.tokens import create_token, first_token, principal_of, role_of
from flyball.errors import Mistake
from flyball.registry.audit import entries
from flyball.store import Database, Home

NOW = datetime(2013, 7, 1, tzinfo=UTC)


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


def test_the_database_holds_the_digest_only(database: Database) -> None:
    """SHA-256; the token is in no file of the database."""
    token = create_token(database, "ci", "viewer", NOW)
    row = database.one("SELECT digest FROM token")
    assert row is not None
    assert row["digest"] == hashlib.sha256(token.encode()).hexdigest()
    for file in database.path.parent.glob("flyball.db*"):
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

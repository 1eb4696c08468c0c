"""Who may look, act and ask: named bearer tokens. The database keeps SHA-256 digests only.

A role opens the control plane; scopes open the data plane; a model narrows both to that model.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast, get_args

from flyball.errors import Mistake, NotFound
from flyball.registry import audit
from flyball.store import Database, Home, Row, Transaction, stamp

#: viewer looks, operator and admin act; client has the data plane only.
Role = Literal["viewer", "operator", "admin", "client"]

#: predict asks for predictions; outcomes says what came true, which can lead to a retrain or a rollback.
Scope = Literal["predict", "outcomes"]

#: name of the token that is made on first start.
FIRST = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a token belongs to, and what it opens."""

    name: str
    role: Role
    scopes: tuple[Scope, ...] = ()
    #: the only model it is for; None = all.
    model: str | None = None

    @property
    def may_act(self) -> bool:
        """On the control plane."""
        return self.role in ("operator", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One token as a serving worker knows it: what its bearer may ask, and of which model."""

    #: SHA-256 of the token, 64 hex digits.
    digest: str
    scopes: tuple[Scope, ...]
    #: None = every model.
    model: str | None


def create_token(
    database: Database, name: str, role: str, now: datetime, *, scopes: Collection[str] = (), model: str | None = None
) -> str:
    """A new token, shown this once. Raises Mistake for what is unknown, or a name that is taken."""
    _check(name, role, scopes)
    with database.write() as tx:
        if tx.one("SELECT 1 FROM token WHERE name = :name", name=name):
            raise Mistake(f"there is a token named {name!r} already; give another name")
        token = _insert(tx, name, role, now, scopes, model)
        what = ", ".join([role, *sorted(set(scopes)), *([f"only {model}"] if model else [])])
        _tell(tx, now, was=None, becomes=f"{name} ({what})", why="created")
    return token


def revoke_token(database: Database, name: str, now: datetime) -> None:
    """Forget a token: the control plane refuses it at once, workers within two seconds. Raises NotFound."""
    with database.write() as tx:
        if not tx.run("DELETE FROM token WHERE name = :name", name=name):
            there = ", ".join(sorted(row["name"] for row in tx.all("SELECT name FROM token"))) or "none"
            raise NotFound(f"no token named {name!r}; there is {there}")
        _tell(tx, now, was=name, becomes=None, why="revoked")


def tokens(database: Database) -> list[Principal]:
    """Every token's bearer, by name."""
    return [_principal(row) for row in database.all("SELECT name, role, scopes, model FROM token ORDER BY name")]


def grants(database: Database) -> tuple[Grant, ...]:
    """What serving workers need to know of the tokens: those with a scope."""
    rows = database.all("SELECT digest, scopes, model FROM token WHERE scopes <> '' ORDER BY digest")
    return tuple(Grant(digest=row["digest"], scopes=_scopes(row["scopes"]), model=row["model"]) for row in rows)


def first_token(home: Home, database: Database, now: datetime) -> str:
    """The admin token in `home/token` (mode 0600), made when there is none or when it is no longer known."""
    path = home.path / "token"
    with database.write() as tx:
        kept = _kept(path)
        if kept is not None and _find(tx, kept) is not None:
            return kept
        tx.run("DELETE FROM token WHERE name = :name", name=FIRST)
        token = _insert(tx, FIRST, "admin", now)
        # Before the commit: a crash between the two leaves a file that the next start knows to replace.
        _keep(path, token)
    return token


def principal_of(database: Database, token: str) -> Principal | None:
    """Whose token it is; None when nobody's. The time it takes does not depend on how much of a digest agrees."""
    return _find(database, token)


def role_of(database: Database, token: str) -> str | None:
    """The token's role; None when nobody's."""
    found = _find(database, token)
    return found.role if found else None


def digest_of(token: bytes) -> str:
    """SHA-256 as 64 hex digits."""
    return hashlib.sha256(token).hexdigest()


def _check(name: str, role: str, scopes: Collection[str]) -> None:
    if not name:
        raise Mistake("a token needs a name: it is what the audit records as who acted")
    if role not in get_args(Role):
        raise Mistake(f"{role!r} is not a role; give one of {', '.join(get_args(Role))}")
    unknown = sorted(set(scopes) - set(get_args(Scope)))
    if unknown:
        raise Mistake(f"{', '.join(unknown)}: not a scope; there are {', '.join(get_args(Scope))}")
    if role == "client" and not scopes:
        raise Mistake("a client's token opens the data plane only, and there by scope: add --scope predict or outcomes")


def _find(source: Database | Transaction, token: str) -> Principal | None:
    digest, found = digest_of(token.encode(errors="surrogatepass")), None
    for row in source.all("SELECT name, role, scopes, model, digest FROM token"):
        if hmac.compare_digest(row["digest"], digest):
            found = _principal(row)
    return found


def _principal(row: Row) -> Principal:
    return Principal(name=row["name"], role=cast(Role, row["role"]), scopes=_scopes(row["scopes"]), model=row["model"])


def _scopes(text: str) -> tuple[Scope, ...]:
    return tuple(cast(list[Scope], text.split()))


def _insert(
    tx: Transaction,
    name: str,
    role: str,
    now: datetime,
    scopes: Collection[str] = (),
    model: str | None = None,
) -> str:
    token = f"flyball_{secrets.token_urlsafe(32)}"
    tx.run(
        "INSERT INTO token (name, role, digest, created_at, scopes, model)"
        " VALUES (:name, :role, :digest, :now, :scopes, :model)",
        name=name,
        role=role,
        digest=digest_of(token.encode()),
        now=stamp(now),
        scopes=" ".join(sorted(set(scopes))),
        model=model,
    )
    return token


def _tell(tx: Transaction, now: datetime, *, was: str | None, becomes: str | None, why: str) -> None:
    who = audit.local_user()
    audit.record(tx, at=now, who=who, act="token", model="", was=was, becomes=becomes, why=why)


def _kept(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _keep(path: Path, token: str) -> None:
    """Readable by the owner only from its first byte on."""
    draft = path.with_name(f".token.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    draft.replace(path)

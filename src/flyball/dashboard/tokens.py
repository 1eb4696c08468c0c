"""Who may look and who may act: named bearer tokens with a role. The database keeps SHA-256 digests only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast, get_args

from flyball.errors import Mistake
from flyball.registry import audit
from flyball.store import Database, Home, Transaction, stamp

Role = Literal["viewer", "operator", "admin"]

#: name of the token that is made on first start.
FIRST = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a token belongs to."""

    name: str
    role: Role

    @property
    def may_act(self) -> bool:
        return self.role in ("operator", "admin")


def create_token(database: Database, name: str, role: str, now: datetime) -> str:
    """A new token, shown this once. Raises Mistake for an unknown role or a name that is taken."""
    if role not in get_args(Role):
        raise Mistake(f"{role!r} is not a role; give one of {', '.join(get_args(Role))}")
    if not name:
        raise Mistake("a token needs a name: it is what the audit records as who acted")
    with database.write() as tx:
        if tx.one("SELECT 1 FROM token WHERE name = :name", name=name):
            raise Mistake(f"there is a token named {name!r} already; give another name")
        token = _insert(tx, name, role, now)
        audit.record(
            tx,
            at=now,
            who=audit.local_user(),
            act="token",
            model="",
            was=None,
            becomes=f"{name} ({role})",
            why="created",
        )
    return token


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


def _find(source: Database | Transaction, token: str) -> Principal | None:
    digest, found = _digest(token), None
    for row in source.all("SELECT name, role, digest FROM token"):
        if hmac.compare_digest(row["digest"], digest):
            found = Principal(name=row["name"], role=cast(Role, row["role"]))
    return found


def _insert(tx: Transaction, name: str, role: str, now: datetime) -> str:
    token = f"flyball_{secrets.token_urlsafe(32)}"
    tx.run(
        "INSERT INTO token (name, role, digest, created_at) VALUES (:name, :role, :digest, :now)",
        name=name,
        role=role,
        digest=_digest(token),
        now=stamp(now),
    )
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


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

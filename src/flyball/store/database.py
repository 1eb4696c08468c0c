"""The SQL database: SQLite in the home folder, or PostgreSQL where `FLYBALL_DATABASE_URL` names one.

Both take the same statements: named parameters (`:name`), names in lower case, nothing that only one of them knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from flyball.errors import Mistake, Unavailable
from flyball.store import sqlite

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flyball.store.home import Home

#: the environment variable that names a PostgreSQL database.
DATABASE_URL = "FLYBALL_DATABASE_URL"

SCHEMES = ("postgresql://", "postgres://")

#: column -> value.
Row = Mapping[str, Any]


class Transaction(Protocol):
    """Statements that happen together or not at all. Made by `Database.write`."""

    def run(self, sql: str, /, **values: Any) -> int:
        """Execute; the number of rows changed."""

    def insert(self, sql: str, /, **values: Any) -> int:
        """Execute an INSERT of one row; its integer key, which is its table's first column."""

    def one(self, sql: str, /, **values: Any) -> Row | None: ...

    def all(self, sql: str, /, **values: Any) -> list[Row]: ...


class Database(Protocol):
    """Connections to one database; any thread may use it."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A write transaction, serialised with every other process's; committed at the end, rolled back on any error."""

    def one(self, sql: str, /, **values: Any) -> Row | None: ...

    def all(self, sql: str, /, **values: Any) -> list[Row]: ...

    def last_number(self, table: str) -> int | None:
        """The largest key that `table` ever gave, deleted rows included; None where nothing counts them."""

    def close(self) -> None:
        """Close the connections this thread is known to be done with; the next statement opens another."""


def open_database(home: Home, environ: Mapping[str, str] | None = None) -> Database:
    """The home's database, its schema brought up to date first. `environ` may name another one than the home's file."""
    home.made()
    url = database_url(environ)
    if url is None:
        return sqlite.open_file(home.database)
    from flyball.store import postgres  # an extra, and slow to load: only who asked for it pays

    return postgres.open_url(url)


def database_url(environ: Mapping[str, str] | None) -> str | None:
    """The PostgreSQL URL; None for the home's own file. It may hold a password: never shown. Raises Mistake."""
    url = (environ or {}).get(DATABASE_URL, "")
    if url and not url.startswith(SCHEMES):
        raise Mistake(
            f"{DATABASE_URL} must begin with {SCHEMES[0]} (postgresql://USER:PASSWORD@HOST:PORT/DATABASE); "
            "unset it to use the SQLite file in the home folder"
        )
    return url or None


def identity(home: Home, environ: Mapping[str, str] | None = None) -> int:
    """What changes when the database's file is exchanged for another. Raises Unavailable where there is no file."""
    if database_url(environ) is not None:
        return 0
    try:
        return home.database.stat().st_ino
    except OSError as error:
        raise Unavailable(f"{home.database}: {error.strerror}") from error


def is_there(home: Home, environ: Mapping[str, str] | None = None) -> bool:
    """Whether opening the database makes no new one: a home with a file, or with a URL."""
    return home.path.is_dir() if database_url(environ) is not None else home.database.exists()

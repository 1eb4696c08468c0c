"""The SQL database: SQLite in the home folder. Short transactions, named parameters, rows that read like mappings.

PostgreSQL by URL is refused as 'not yet'; every statement keeps to what both understand.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyball.errors import NotYet, Unavailable
from flyball.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from flyball.store.home import Home

Row = sqlite3.Row

BUSY_TIMEOUT_S = 20.0


class Transaction:
    """Statements that happen together or not at all. Made by `Database.write`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, /, **values: Any) -> int:
        """Execute; the number of rows changed."""
        return self._connection.execute(sql, values).rowcount

    def insert(self, sql: str, /, **values: Any) -> int:
        """Execute an INSERT; the new row's integer key."""
        key = self._connection.execute(sql, values).lastrowid
        assert key is not None
        return key

    def one(self, sql: str, /, **values: Any) -> Row | None:
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, /, **values: Any) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()


@dataclass(slots=True)
class Database:
    """One SQLite file; a connection per thread, opened when first used."""

    path: Path
    _local: threading.local

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self.path)
            self._local.connection = connection
        return connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction, serialised with every other process's; committed at the end, rolled back on any error."""
        connection = self._connection()
        _begin(connection)
        try:
            yield Transaction(connection)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()

    def one(self, sql: str, /, **values: Any) -> Row | None:
        return Transaction(self._connection()).one(sql, **values)

    def all(self, sql: str, /, **values: Any) -> list[Row]:
        return Transaction(self._connection()).all(sql, **values)

    def last_number(self, table: str) -> int | None:
        """The largest key that `table` ever gave; None where nothing counts them."""
        row = self.one("SELECT seq FROM sqlite_sequence WHERE name = :table", table=table)
        return None if row is None else int(row["seq"])

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def open_database(home: Home, environ: Mapping[str, str] | None = None) -> Database:
    """The home's database, its schema brought up to date first."""
    if environ is not None and environ.get("FLYBALL_DATABASE_URL"):
        raise NotYet("FLYBALL_DATABASE_URL: only the SQLite file in the home folder so far; unset it to go on")
    home.made()
    database = Database(home.database, threading.local())
    migrate(database._connection(), home.database)
    return database


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode: readers never wait for the writer. Commits survive the death of any process."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise Unavailable(
            f"cannot open the database {path}: {error}; is the folder writable, the disk full?"
        ) from error
    return connection


def _begin(connection: sqlite3.Connection) -> None:
    """BEGIN IMMEDIATE takes the write lock at once, so a transaction that read first can never fail half-way as stale."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise Unavailable(f"the database cannot be written: {error}") from error
            time.sleep(0.01)
        else:
            return

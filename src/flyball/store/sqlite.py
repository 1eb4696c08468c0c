"""The database as a file in the home folder: SQLite, through the standard library. Every write waits its turn."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyball.errors import Unavailable
from flyball.store.migrate import migrate_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flyball.store.database import Row

BUSY_TIMEOUT_S = 20.0


class FileTransaction:
    """Statements on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, /, **values: Any) -> int:
        return self._connection.execute(sql, values).rowcount

    def insert(self, sql: str, /, **values: Any) -> int:
        key = self._connection.execute(sql, values).lastrowid
        assert key is not None
        return key

    def one(self, sql: str, /, **values: Any) -> Row | None:
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, /, **values: Any) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()


@dataclass(slots=True)
class FileDatabase:
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
    def write(self) -> Iterator[FileTransaction]:
        connection = self._connection()
        _begin(connection)
        try:
            yield FileTransaction(connection)
        except BaseException as error:
            connection.rollback()
            if isinstance(error, sqlite3.OperationalError) and "readonly" in str(error):
                raise _unwritable(error) from error
            raise
        connection.commit()

    def one(self, sql: str, /, **values: Any) -> Row | None:
        return FileTransaction(self._connection()).one(sql, **values)

    def all(self, sql: str, /, **values: Any) -> list[Row]:
        return FileTransaction(self._connection()).all(sql, **values)

    def last_number(self, table: str) -> int | None:
        row = self.one("SELECT seq FROM sqlite_sequence WHERE name = :table", table=table)
        return None if row is None else int(row["seq"])

    def close(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def open_file(path: Path) -> FileDatabase:
    """The database in this file, made where there is none, its schema brought up to date."""
    database = FileDatabase(path, threading.local())
    try:
        migrate_file(database._connection(), path)
    except sqlite3.OperationalError as error:
        if _writable(path):
            raise
        raise Unavailable(
            f"{path} is of an earlier release, and this user may only read it; let who may write open it once"
        ) from error
    return database


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode: readers never wait for the writer. Commits survive the death of any process.

    Where this user may not write, one that reads; whoever writes with it is told so.
    """
    try:
        if path.exists() and not _writable(path):
            return reading(path)
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


def reading(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even what a reader in WAL mode leaves beside the file."""
    # Beside a file that somebody has open lies its log; where there is none the file is all there is, and opening it as
    # usual would begin one, which a read-only folder does not allow. It is for a command's short life: what its owner writes
    # meanwhile is not seen, nor guarded against.
    alone = not path.with_name(f"{path.name}-wal").exists() and not _writable(path)
    more = "&immutable=1" if alone else ""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{more}", uri=True, timeout=BUSY_TIMEOUT_S)
    connection.row_factory = sqlite3.Row
    return connection


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _begin(connection: sqlite3.Connection) -> None:
    """BEGIN IMMEDIATE takes the write lock at once, so a transaction that read first can never fail half-way as stale."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise _unwritable(error) from error
            time.sleep(0.01)
        else:
            return


def _unwritable(error: sqlite3.Error) -> Unavailable:
    mine = "; this user may only read it" if "readonly" in str(error) else ""
    return Unavailable(f"the database cannot be written: {error}{mine}")

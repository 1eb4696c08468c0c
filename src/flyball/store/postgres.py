"""The database as a PostgreSQL server, by URL. The URL's password is in no message: errors name host and database."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from flyball.errors import FlyballError, Mistake, Unavailable
from flyball.store.dialect import placeholders
from flyball.store.migrate import migrate_server

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.pq import TransactionStatus
    from psycopg.rows import DictRow, dict_row
except ImportError as missing:
    raise Mistake(
        "FLYBALL_DATABASE_URL needs psycopg, which is not installed here: python -m pip install 'flyball[postgres]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flyball.store.database import Row

    Connection = psycopg.Connection[DictRow]

_T = TypeVar("_T")

#: what a URL that leaves them out gets: seconds, `tcp_user_timeout` milliseconds: a network that is gone is noticed.
_CONNECT: dict[str, str | int] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "flyball",
    "client_encoding": "utf-8",
}

#: One writer at a time, as in SQLite: rooms read and then write what follows from it, and would overwrite each other at
#: any isolation short of serialisable, which fails half-way and would have to be tried again. The lock comes first and
#: each statement sees all that was committed before it, so READ COMMITTED is right whatever the server's default. Commits
#: come in the order of their keys, so a worker that polls for the newest misses none. Both time limits are for the
#: others' sake: nobody waits for ever, and a process that was stopped in the middle does not hold them all.
_BEGIN = (
    b"BEGIN ISOLATION LEVEL READ COMMITTED;"
    b" SET LOCAL lock_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '60s';"
    b" SELECT pg_advisory_xact_lock(%d)" % int.from_bytes(b"flyball")
)


class ServerTransaction:
    """Statements on one connection."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def run(self, sql: str, /, **values: Any) -> int:
        return self._execute(sql, values).rowcount

    def insert(self, sql: str, /, **values: Any) -> int:
        row = self._execute(f"{sql} RETURNING *", values).fetchone()
        assert row is not None
        return int(next(iter(row.values())))

    def one(self, sql: str, /, **values: Any) -> Row | None:
        return self._execute(sql, values).fetchone()

    def all(self, sql: str, /, **values: Any) -> list[Row]:
        return [*self._execute(sql, values).fetchall()]

    def _execute(self, sql: str, values: Mapping[str, Any]) -> psycopg.Cursor[DictRow]:
        # SQLite keeps what is not a number as NULL.
        kept = {key: None if isinstance(value, float) and value != value else value for key, value in values.items()}
        with _told(self._name):
            return self._connection.execute(placeholders(sql).encode(), kept)


@dataclass(slots=True)
class ServerDatabase:
    """One database of a server; as many connections as statements run at once, kept for the next."""

    #: host, port and database; no user, no password.
    name: str
    _conninfo: str = field(repr=False)
    _idle: list[Connection] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _process: int = field(default_factory=os.getpid, repr=False)

    @contextmanager
    def write(self) -> Iterator[ServerTransaction]:
        connection = self._first(_BEGIN)
        try:
            yield ServerTransaction(connection, self.name)
            with _told(self.name):
                if connection.info.transaction_status == TransactionStatus.INERROR:
                    raise Unavailable(f"the database {self.name} refused a statement; nothing was changed")
                connection.commit()
        except BaseException:
            try:
                connection.rollback()
            except psycopg.Error:
                connection.close()  # the server rolls back what has lost its connection
            self._give(connection)
            raise
        self._give(connection)

    def one(self, sql: str, /, **values: Any) -> Row | None:
        return self._read(lambda tx: tx.one(sql, **values))

    def all(self, sql: str, /, **values: Any) -> list[Row]:
        return self._read(lambda tx: tx.all(sql, **values))

    def last_number(self, table: str) -> int | None:
        row = self.one("SELECT seq FROM numbering WHERE name = :table", table=table)
        return None if row is None else int(row["seq"])

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _read(self, ask: Callable[[ServerTransaction], _T]) -> _T:
        """The answer; asked once more on a new connection where the server has dropped this one meanwhile."""
        connection = self._take()
        try:
            try:
                return ask(ServerTransaction(connection, self.name))
            except Unavailable:
                if not connection.closed:
                    raise
                connection = self._anew()
                return ask(ServerTransaction(connection, self.name))
        finally:
            self._give(connection)

    def _first(self, statement: bytes) -> Connection:
        """A connection on which a first statement has run. Nothing was changed before it, so it may be tried again."""
        connection = self._take()
        try:
            with _told(self.name):
                connection.execute(statement)
        except FlyballError:
            if not connection.closed:
                connection.close()  # begun, without the lock
                raise
            connection = self._anew()
            with _told(self.name):
                connection.execute(statement)
        return connection

    def _take(self) -> Connection:
        with self._lock:
            if self._process != os.getpid():  # forked: these are the parent's
                self._idle, self._process = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _anew(self) -> Connection:
        """A server that dropped one connection has dropped the others too."""
        self.close()
        return self._connect()

    def _give(self, connection: Connection) -> None:
        if not connection.closed:
            with self._lock:
                self._idle.append(connection)

    def _connect(self) -> Connection:
        with _told(self.name):
            return psycopg.connect(
                self._conninfo, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.ClientCursor
            )


def open_url(url: str) -> ServerDatabase:
    """The database at this URL, its schema brought up to date. Raises Mistake, Unavailable."""
    database = server(url)
    try:
        migrate_server(database)
    except BaseException:
        database.close()
        raise
    return database


def server(url: str) -> ServerDatabase:
    """The database at this URL, not yet connected to, nor looked at. Raises Mistake where it is not understood."""
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        parts = {"port": "?"}
    host, port, name = parts.get("host", "localhost"), parts.get("port", "5432"), parts.get("dbname", "")
    # A password with such characters ends too early, and its rest would stand in messages as a host or a port.
    if not port.replace(",", "").isdigit() or "@" in host + name or ("/" in name):
        raise Mistake(
            "FLYBALL_DATABASE_URL cannot be understood: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
            " with special characters of the password as %XX (for example %40 for @)"
        )
    return ServerDatabase(f"{host}:{port}/{name}", make_conninfo("", **{**_CONNECT, **parts}))


def describe(url: str) -> str:
    """Which server answers there, and how large the database is. Changes nothing. Raises Mistake, Unavailable."""
    database = server(url)
    try:
        row = database.one(
            "SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes"
        )
    finally:
        database.close()
    assert row is not None
    return f"PostgreSQL {row['version'].split()[0]} at {database.name}, {row['bytes'] / 1024**2:,.1f} MiB"


@contextmanager
def _told(name: str) -> Iterator[None]:
    """psycopg's errors as ours."""
    try:
        yield
    except psycopg.DataError as error:
        raise Mistake(f"the database {name} cannot keep a value: {_first_line(error)}") from None
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError) as error:
        raise Unavailable(f"the database {name} cannot be read or written: {_first_line(error)}") from None


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

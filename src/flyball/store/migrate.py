"""The schema as numbered SQL files: each applied once, in order, in one transaction, after a copy of what was there."""

from __future__ import annotations

import logging
import sqlite3
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.errors import Mistake
from flyball.store.dialect import GROUND, schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flyball.store.postgres import ServerDatabase

log = logging.getLogger("flyball.store")


@cache
def migrations() -> Mapping[int, str]:
    """Number -> SQL text, ascending."""
    folder = Path(__file__).with_name("migrations")
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    return {int(item.name.split("_")[0]): item.read_text() for item in files}


def migrate_file(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an SQLite file's schema to this release's. A newer one is refused, never guessed at."""
    have = connection.execute("PRAGMA user_version").fetchone()[0]
    if _up_to_date(have, str(path)):
        return
    if have:
        _back_up(connection, path, have)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited for the lock.
        have = connection.execute("PRAGMA user_version").fetchone()[0]
        for number, sql in migrations().items():
            if number > have:
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def migrate_server(database: ServerDatabase) -> None:
    """Bring a PostgreSQL database's schema to this release's; of several processes one does it, the others wait for it."""
    have = 0
    if database.one("SELECT to_regclass('schema_version') IS NOT NULL AS made") == {"made": True}:
        have = int((database.one("SELECT coalesce(max(number), 0) AS number FROM schema_version") or {})["number"])
    if _up_to_date(have, f"the database {database.name}"):
        return
    newest = max(migrations())
    with database.write() as tx:
        for statement in GROUND.split(";\n"):
            if statement.strip():
                tx.run(statement)
        have = int((tx.one("SELECT coalesce(max(number), 0) AS number FROM schema_version") or {})["number"])
        if 0 < have < newest:
            log.warning(
                "the database %s goes from schema %d to %d; no copy is made of it: a dump (pg_dump) is its operator's",
                database.name,
                have,
                newest,
            )
        for number, sql in migrations().items():
            if number > have:
                for statement in _statements(sql):
                    tx.run(schema(statement))
                tx.run("INSERT INTO schema_version (number) VALUES (:number)", number=number)


def _up_to_date(have: int, name: str) -> bool:
    newest = max(migrations())
    if have > newest:
        raise Mistake(
            f"{name} has schema {have}, this release knows {newest}: it was written by a newer Flyball; upgrade Flyball"
        )
    return have == newest


def _statements(sql: str) -> list[str]:
    """One by one, because `executescript` would commit the transaction it runs in."""
    found, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    copy = path.with_name(f"{path.name}.schema-{version}.backup")
    target = sqlite3.connect(copy)
    try:
        connection.backup(target)
    finally:
        target.close()

"""The schema as numbered SQL files: each applied once, in order, in one transaction, after a copy of what was there."""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from flyball.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@cache
def migrations() -> Mapping[int, str]:
    """Number -> SQL text, ascending."""
    folder = resources.files("flyball.store") / "migrations"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name)
    return {int(item.name.split("_")[0]): item.read_text() for item in files}


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to this release's. A newer one is refused, never guessed at."""
    have = connection.execute("PRAGMA user_version").fetchone()[0]
    known = migrations()
    newest = max(known)
    if have == newest:
        return
    if have > newest:
        raise Mistake(
            f"{path} has schema {have}, this release knows {newest}: it was written by a newer Flyball; upgrade Flyball"
        )
    if have:
        _back_up(connection, path, have)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited for the lock.
        have = connection.execute("PRAGMA user_version").fetchone()[0]
        for number, sql in known.items():
            if number > have:
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


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

"""Asks invariants.sql of a home: every table of its database, every view of its lake, and what the asker has kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from flyball.journal import lake
from flyball.store import Database, Home

INVARIANTS = Path(__file__).with_name("invariants.sql")
#: those that the queries read; an empty one still has its columns.
TABLES = ("alert", "decision", "deployment", "lake_batch", "outbox", "rollout", "run", "step", "version", "window")


def questions() -> dict[str, str]:
    """Name of an invariant -> the query for the rows that break it."""
    parts = re.split(r"^-- name: (.*)$", INVARIANTS.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True))


def broken(home: Home, database: Database, model: str, kept: Mapping[str, pd.DataFrame]) -> dict[str, list[Any]]:
    """Name of each invariant that is broken -> up to ten of the rows that break it."""
    with closing(lake.connect(home, model)) as connection:
        for name, table in {**_tables(database), **kept}.items():
            connection.register(name, table)
        found = {name: connection.sql(text.rstrip(";")).limit(10).fetchall() for name, text in questions().items()}
    return {name: rows for name, rows in found.items() if rows}


def _tables(database: Database) -> dict[str, pd.DataFrame]:
    found = {}
    for name in TABLES:
        rows = database.all(f'SELECT * FROM "{name}"')
        columns = list(dict(rows[0])) if rows else _columns(database, name)
        found[name] = pd.DataFrame([tuple(dict(row).values()) for row in rows], columns=columns)
    return found


def _columns(database: Database, name: str) -> list[str]:
    """Out of the migrations: a table without rows tells no names."""
    folder = Path(lake.__file__).parents[1] / "store" / "migrations"
    text = "".join(path.read_text() for path in sorted(folder.glob("*.sql")))
    body = re.search(rf'CREATE TABLE "?{name}"? \((.*?)^\);', text, re.DOTALL | re.MULTILINE)
    assert body is not None
    return re.findall(r"^  (\w+) (?:TEXT|INTEGER|REAL)", body[1], re.MULTILINE) + re.findall(
        rf"ALTER TABLE {name} ADD COLUMN (\w+)", text
    )

"""One registered model in MLflow's SQLite file: three small tables of it, read and written as its library does."""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

#: tags of MLflow's: of a version, its stage here; of a registered model, the head of the audit.
STAGE = "flyball.stage"
HEAD = "flyball.audit_head"

#: the columns of MLflow's tables that are written; those of MLflow before 3.10 lack the workspace.
_TABLES = {
    "registered_model_aliases": {"name", "alias", "version"},
    "registered_model_tags": {"name", "key", "value"},
    "model_version_tags": {"name", "version", "key", "value"},
}
_WORKSPACE = "workspace"


class Unfamiliar(Exception):
    """This store is not one that is known here; no error: the library is asked instead."""


@contextmanager
def opened_file(path: str, timeout_s: float, *, write: bool) -> Iterator[sqlite3.Connection]:
    there = f"file:{urllib.parse.quote(path)}?mode={'rw' if write else 'ro'}"
    with closing(sqlite3.connect(there, uri=True, timeout=timeout_s, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield file
        file.execute("COMMIT")


class File:
    """In MLflow's SQLite file."""

    def __init__(self, file: sqlite3.Connection, model: str) -> None:
        self._file = file
        columns = {table: self._columns(table) for table in _TABLES}
        if any(columns[table] - {_WORKSPACE} != known for table, known in _TABLES.items()):
            raise Unfamiliar("tables of another form")
        #: which row of MLflow's it is: the model's name, and the workspace where there is one.
        self._which: dict[str, str] = {"name": model}
        if all(_WORKSPACE in found for found in columns.values()):
            homes = [row[0] for row in file.execute("SELECT workspace FROM registered_models WHERE name = ?", (model,))]
            if len(homes) > 1:
                raise Unfamiliar("several workspaces")
            if homes:
                self._which[_WORKSPACE] = homes[0]

    def aliases(self) -> dict[str, int]:
        return {row[0]: int(row[1]) for row in self._all("alias, version", "registered_model_aliases")}

    def head(self) -> str | None:
        return next((row[0] for row in self._all("value", "registered_model_tags", key=HEAD)), None)

    def tags(self) -> dict[int, str | None]:
        found: dict[int, str | None] = {int(row[0]): None for row in self._all("version", "model_versions")}
        kept = self._all("version, value", "model_version_tags", key=STAGE)
        return found | {int(number): value for number, value in kept}

    def point(self, alias: str, version: int | None) -> None:
        value = None if version is None else {"version": version}
        self._put("registered_model_aliases", {"alias": alias}, value)

    def tag(self, version: int, stage: str) -> None:
        self._put("model_version_tags", {"version": version, "key": STAGE}, {"value": stage})

    def witness(self, head: str) -> None:
        self._put("registered_model_tags", {"key": HEAD}, {"value": head})

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self._file.execute(f"PRAGMA table_info({table})")}

    def _all(self, columns: str, table: str, **more: str) -> list[tuple[Any, ...]]:
        which = {**self._which, **more}
        sql = f"SELECT {columns} FROM {table} WHERE {_equal(which)}"  # noqa: S608 - names of this file
        return list(self._file.execute(sql, which))

    def _put(self, table: str, key: Mapping[str, Any], value: Mapping[str, Any] | None) -> None:
        which = {**self._which, **key}
        self._file.execute(f"DELETE FROM {table} WHERE {_equal(which)}", which)  # noqa: S608 - names of this file
        if value is not None:
            row = {**which, **value}
            names = f"({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
            self._file.execute(f"INSERT INTO {table} {names}", row)


def _equal(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} = :{name}" for name in names)

"""Small files of the lake, held in the process's DuckDB: opening one takes longer than reading its rows.

A beat asks for the same last days again and again. A file of the lake never changes, and its name is not given twice, so
what was read once need not be read again. Features are not held: they are most of a row, and few questions need them.
"""

# ruff: noqa: S608 - names and numbers of our own

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from flyball.journal.layout import SCHEMAS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: a larger file is read where it lies.
SMALL_BYTES = 512 * 1024
#: of more rows than these of a kind, those that nobody has asked for longest are let go, down to half.
MOST_ROWS = 250_000

#: one SELECT asks for the files of a kind fewer times than this.
UNDER_WAY = 8

#: of each kind what is held; a row of predictions without its features.
COLUMNS: dict[Kind, pa.Schema] = {
    kind: pa.schema([field for field in schema if field.name != "features"]) for kind, schema in SCHEMAS.items()
}


@dataclass(slots=True)
class _File:
    number: int
    #: 0: it cannot be held.
    rows: int
    #: number of the question it was last asked for in.
    asked: int


class Held:
    """What one connection holds. For the thread that made it: what its last questions were about is not let go."""

    def __init__(self, connection: Any, *, most_rows: int = MOST_ROWS, small_bytes: int = SMALL_BYTES) -> None:
        self.thread = threading.get_ident()
        self._connection = connection
        self._most_rows = most_rows
        self._small_bytes = small_bytes
        #: of each kind, by path.
        self._files: dict[Kind, dict[str, _File]] = {}
        self._count = self._asked = 0

    def numbers(self, kind: Kind, files: Sequence[str]) -> dict[str, int]:
        """Of those of the files that are held, now or from now on, their numbers in the table `held_KIND`."""
        if kind not in self._files:
            self._files[kind] = {}
            self._insert(f"CREATE TABLE held_{kind} AS", _numbered(COLUMNS[kind].empty_table(), 0))
        known = self._files[kind]
        self._asked += 1
        for file in files:
            if file not in known:
                self._count += 1
                known[file] = _File(self._count, self._take(kind, file, self._count), self._asked)
            known[file].asked = self._asked
        self._let_go(kind)
        return {file: known[file].number for file in files if known[file].rows}

    def _take(self, kind: Kind, file: str, number: int) -> int:
        """The rows taken in; 0 where the file is large, or other than most."""
        if Path(file).stat().st_size > self._small_bytes:
            return 0
        with pq.ParquetFile(file) as parquet:
            if not _is_usual(kind, parquet.schema_arrow):
                return 0
            rows = parquet.read(columns=COLUMNS[kind].names).select(COLUMNS[kind].names)
        if len(rows):
            self._insert(f"INSERT INTO held_{kind}", _numbered(rows, number))
        return len(rows)

    def _let_go(self, kind: Kind) -> None:
        """What was asked for longest ago, of what no question under way can be about."""
        known = self._files[kind]
        rows = sum(file.rows for file in known.values())
        if rows <= self._most_rows:
            return
        old = [path for path, file in known.items() if file.asked <= self._asked - UNDER_WAY]
        gone = []
        for path in sorted(old, key=lambda path: known[path].asked):
            if rows <= self._most_rows // 2:
                break
            rows -= known[path].rows
            gone.append(known.pop(path).number)
        if gone:
            self._connection.execute(f"DELETE FROM held_{kind} WHERE {among(gone)}")

    def _insert(self, sql: str, rows: pa.Table) -> None:
        cursor = self._connection.cursor()
        try:
            cursor.register("arrived", rows)
            cursor.execute(f"{sql} FROM arrived")
        finally:
            cursor.close()


def _is_usual(kind: Kind, schema: pa.Schema) -> bool:
    """Not so predictions of several classes, which are text."""
    return all(field.name in schema.names and schema.field(field.name).type == field.type for field in COLUMNS[kind])


def among(numbers: Iterable[int]) -> str:
    """SQL for rows of the files with these numbers."""
    return f"file IN ({', '.join(map(str, numbers))})"


def _numbered(rows: pa.Table, number: int) -> pa.Table:
    """With what `read_parquet` calls file_row_number, and the file's own number."""
    return rows.append_column("file_row_number", pa.array(range(len(rows)), pa.int64())).append_column(
        "file", pa.array([number] * len(rows), pa.int64())
    )

"""Journal to lake, exactly once, whoever is killed when.

A batch is first a plan in the database (which bytes of which segments), then Parquet files whose names follow from the
plan, then one transaction that says it is done. A killed batch is repeated into the same files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from flyball.journal.layout import parquet_files, partition, write_draft
from flyball.journal.merge import SMALL_FILES, finish_merge, merge
from flyball.journal.parse import Line, parse_line
from flyball.journal.plan import Plan, is_dead, planned, segments
from flyball.journal.rows import IDENTITY, Place, identities, tables
from flyball.store.clock import stamp
from flyball.store.ids import derived_id

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from flyball.store.database import Database
    from flyball.store.home import Home

#: Journal read at once; what it becomes in memory is some ten times as large.
BATCH_BYTES = 16 * 2**20

#: Every point at which a carrier may die with something half done; `checkpoint` is called with each as it is reached.
TRANSITIONS = (
    "planned",  # the plan is in the database, nothing in the lake
    "drafted",  # a Parquet file is written under its draft's name
    "placed",  # a Parquet file is in the lake, the database knows nothing of it
    "advanced",  # the batch is done, its segments are still there
    "swept",  # a segment is deleted, its row is still there
    "merging",  # a merge is recorded, nothing is swapped
    "merged",  # the merged file is in the lake, and so are those it replaces
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What one call brought into the lake."""

    #: rows that are new in the lake.
    predictions: int = 0
    outcomes: int = 0
    errors: int = 0
    #: rows left out because their id was there already.
    duplicates: int = 0
    #: lines that were not whole: their writer died, or the disk was full.
    torn: int = 0
    #: bytes of journal read.
    bytes: int = 0
    #: planned bytes whose segment somebody had deleted.
    lost_bytes: int = 0

    def __add__(self, other: Carried) -> Carried:
        return Carried(**{name: getattr(self, name) + getattr(other, name) for name in Carried.__slots__})


def carry(
    home: Home,
    database: Database,
    *,
    now: datetime,
    batch_bytes: int = BATCH_BYTES,
    small_files: int = SMALL_FILES,
    checkpoint: Callable[[str], object] = lambda _: None,
) -> Carried:
    """Bring every whole journal line into the lake, once. Waits while another process does the same.

    Reads about `batch_bytes` of journal at once, and merges a partition it wrote to that has `small_files` small files.
    """
    total = Carried()
    places: set[Place] = set()
    with alone(home):
        finish_merge(home, checkpoint)
        for row in database.all("SELECT id, plan FROM lake_batch WHERE done_at IS NULL ORDER BY id"):
            total += _finish(home, database, row["id"], row["plan"], now, places, checkpoint)
        more = True
        while more:
            plan, more = planned(home, _carried_bytes(database), batch_bytes)
            if plan:
                text = orjson.dumps(plan).decode()
                with database.write() as tx:
                    batch = tx.insert("INSERT INTO lake_batch (plan) VALUES (:plan)", plan=text)
                checkpoint("planned")
                total += _finish(home, database, batch, text, now, places, checkpoint)
        _sweep(home, database, checkpoint)
        for place in sorted(places):
            merge(home, partition(home, *place), place[0], small_files, checkpoint)
    return total


def bring_in(home: Home, database: Database, *, now: datetime) -> None:
    """`carry` for who reads: a home that may only be read shows what was carried before."""
    if os.access(home.journal, os.W_OK):
        carry(home, database, now=now)


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """One carrier at a time, or nobody, while somebody copies journal and lake; the lock is gone with its holder."""
    with (home.journal / ".carry.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _carried_bytes(database: Database) -> dict[str, int]:
    return {row["name"]: row["carried_bytes"] for row in database.all("SELECT name, carried_bytes FROM segment")}


def _finish(
    home: Home,
    database: Database,
    batch: int,
    plan_text: str,
    now: datetime,
    places: set[Place],
    checkpoint: Callable[[str], object],
) -> Carried:
    """Carry one planned batch out; doing it again gives the same files. Adds where it wrote to `places`."""
    plan: Plan = orjson.loads(plan_text)
    lines, carried = _read(home, plan)
    # The plan's own digest keeps batches of a restored database off the files of the lost one.
    name = f"b{batch}-{derived_id(plan_text)[:8]}.parquet"
    for place, table in sorted(tables(lines).items(), key=lambda item: item[0]):
        carried += _write(home, place, table, name, checkpoint)
        places.add(place)
    with database.write() as tx:
        for segment, (_, end) in plan.items():
            tx.run(
                "INSERT INTO segment (name, carried_bytes) VALUES (:name, :end)"
                " ON CONFLICT (name) DO UPDATE SET carried_bytes = :end",
                name=segment,
                end=end,
            )
        tx.run("UPDATE lake_batch SET done_at = :at WHERE id = :id", at=stamp(now), id=batch)
        tx.run("DELETE FROM lake_batch WHERE done_at IS NOT NULL AND id < :id", id=batch)
    checkpoint("advanced")
    return carried


def _read(home: Home, plan: Plan) -> tuple[list[Line], Carried]:
    """The plan's lines in the order they were received, with what is to be counted."""
    lines: list[Line] = []
    torn = read = lost = 0
    for name, (start, end) in plan.items():
        try:
            with (home.journal / name).open("rb") as file:
                content = os.pread(file.fileno(), end - start, start)
        except FileNotFoundError:
            lost += end - start
            continue
        *whole, tail = content.split(b"\n")
        parsed = [parse_line(line) for line in whole]
        lines += [line for line in parsed if line is not None]
        torn += parsed.count(None) + bool(tail)
        read += len(content)
    lines.sort(key=lambda line: line.received_at)
    return lines, Carried(torn=torn, bytes=read, lost_bytes=lost)


def _write(home: Home, place: Place, table: pa.Table, name: str, checkpoint: Callable[[str], object]) -> Carried:
    """Write one table's new rows as file `name` of its partition, whole or not at all."""
    kind, model, date = place
    folder = partition(home, kind, model, date)
    new = _newcomers(folder, table, place, but=name)
    if new.num_rows:
        folder.mkdir(parents=True, exist_ok=True)
        draft = write_draft(folder, name, new)
        checkpoint("drafted")
        draft.replace(folder / name)
        checkpoint("placed")
    counts = {kind: new.num_rows, "duplicates": table.num_rows - new.num_rows}
    return Carried(**counts)


def _newcomers(folder: Path, table: pa.Table, place: Place, *, but: str) -> pa.Table:
    """The rows whose identity is in no other file of the partition: a client's retry is answered twice, kept once."""
    kind = place[0]
    known: set[object] = set()
    for file in parquet_files(folder):
        if file != but:
            with pq.ParquetFile(folder / file) as parquet:
                known.update(identities(parquet.read(columns=IDENTITY[kind]), kind))
    if not known:
        return table
    return table.filter(pa.array([identity not in known for identity in identities(table, kind)]))


def _sweep(home: Home, database: Database, checkpoint: Callable[[str], object]) -> None:
    """Delete what is carried to its last byte and has no writer any more."""
    carried = _carried_bytes(database)
    for path in segments(home):
        with path.open("rb") as file:
            # Held until the file is gone, so that nobody begins to write to it meanwhile.
            if is_dead(file) and os.fstat(file.fileno()).st_size <= carried.get(path.name, 0):
                path.unlink()
                checkpoint("swept")
    gone = carried.keys() - {path.name for path in segments(home)}
    if gone:
        with database.write() as tx:
            for name in gone:
                tx.run("DELETE FROM segment WHERE name = :name", name=name)

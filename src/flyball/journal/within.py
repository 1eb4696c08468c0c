"""Whether news concerns nothing but predictions that were read already: looked for in memory, without a query of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flyball.journal.layout import OUTCOMES, PREDICTIONS, TIME, Kind, date_of, lake_files, model_folder, steady
from flyball.journal.relations import OUTCOME_SLACK
from flyball.journal.told import told_in

if TYPE_CHECKING:
    from flyball.store.home import Home

#: Files looked into in memory: of more, as after a bulk of labels, DuckDB is asked, whose memory is bounded.
MOST_BYTES = 32 * 2**20

_OUTCOME = ("id", "key", "timestamp")
_PREDICTION = ("id", "key", "timestamp", "role")


def within(
    home: Home,
    model: str,
    fresh: Collection[str],
    asked: pa.Table,
    start: datetime,
    end: datetime,
    *,
    most_bytes: int = MOST_BYTES,
) -> bool:
    """Whether the lake's files `fresh` can change what came true of `asked` only, of all live predictions in [start, end).

    `asked`: id, key and timestamp of every live prediction from some moment on up to `end`. Never true where one is missed
    that `news.touched` would name; where it is false, that has to be asked: where files are large, too.
    """
    with steady(home):
        if _bytes(fresh) > most_bytes:
            return False
        told, new = _news(home, "outcomes", model, fresh), _news(home, "predictions", model, fresh)
        new = new.filter(pc.equal(new["role"], "live"))
        later = pc.greater_equal(new["timestamp"], pa.scalar(end, TIME))
        known = pa.concat_tables([asked, new.filter(later).select(asked.schema.names)])
        by_id, by_key = _by_id(told), _by_key(told)
        if not (_all_in(by_id["id"], known["id"]) and _all_in(new["id"], known["id"])):
            return False
        if not pc.all(_asked_by_then(by_key, known), min_count=0).as_py():
            return False
        late = _kept_files(home, model, fresh, new, start)
        if _bytes(late) > most_bytes:
            return False
        kept = _by_key(_read("outcomes", late))
    # Outcomes that a new prediction takes from an older one.
    return not pc.any(_asked_by_then(kept, new), min_count=0).as_py()


def _asked_by_then(outcomes: pa.Table, asked: pa.Table) -> pa.ChunkedArray:
    """Of each outcome by key whether a prediction of its key is not later than it; one without a time is later than all."""
    first = asked.select(["key", "timestamp"]).group_by("key").aggregate([("timestamp", "min")])
    at = first["timestamp_min"].take(pc.index_in(outcomes["key"], value_set=first["key"]))
    known = pc.is_valid(at)
    return pc.and_(known, pc.fill_null(pc.less_equal(at, outcomes["timestamp"]), True))


def _kept_files(home: Home, model: str, fresh: Collection[str], new: pa.Table, start: datetime) -> list[str]:
    """Of outcomes that are no news and may come after a new prediction."""
    earliest = pc.min(new["timestamp"]).as_py()
    if earliest is None:
        return []
    told = told_in(lake_files(home, "outcomes", model, date_of(start - OUTCOME_SLACK)))
    late = [
        file for file, found in told.items() if found.untimed or (found.latest is not None and found.latest >= earliest)
    ]
    return [file for file in late if file not in fresh]


def _bytes(files: Collection[str]) -> int:
    return sum(Path(file).stat().st_size for file in files if Path(file).exists())


def _news(home: Home, kind: Kind, model: str, fresh: Collection[str]) -> pa.Table:
    folder = f"{model_folder(home, kind, model)}/"
    return _read(kind, [file for file in sorted(fresh) if file.startswith(folder) and Path(file).exists()])


def _read(kind: Kind, files: Sequence[str]) -> pa.Table:
    """What has to be known of the rows of some files."""
    schema, names = (OUTCOMES, _OUTCOME) if kind == "outcomes" else (PREDICTIONS, _PREDICTION)
    wanted = pa.schema([schema.field(name) for name in names])
    # A handful of small files: DuckDB plans for longer than it takes to read them.
    return pa.concat_tables(
        [wanted.empty_table(), *(pq.ParquetFile(file).read(list(names)).cast(wanted) for file in files)]
    )


def _by_id(outcomes: pa.Table) -> pa.Table:
    return outcomes.filter(pc.is_valid(outcomes["id"]))


def _by_key(outcomes: pa.Table) -> pa.Table:
    return outcomes.filter(pc.is_null(outcomes["id"]))


def _all_in(some: pa.ChunkedArray, every: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.is_in(some, value_set=every), min_count=0).as_py())

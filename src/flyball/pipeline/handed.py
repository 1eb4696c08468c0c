"""Which rows a step was handed for training: `split` notes it in the step's folder, who judges the model reads it there.

Only digests are noted, 16 bytes a row: they say which rows of another table are the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from flyball.pipeline.step import ModelNames, RunContext

Digests = npt.NDArray[np.uint64]

#: the note's file, in the folder of the step that called `split`.
NOTE = "handed.npz"

#: beside a bundle's folder: digests of the rows that its model was trained on.
TRAINED = "trained.npz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handed:
    """The training rows that a step was handed, as digests in their order."""

    #: the columns of the table that was split.
    columns: tuple[str, ...]
    #: over all of them, as they are; shape (n,).
    whole: Digests
    #: what the model learns from, see `learnt_columns`, and digests over these; shape (n,). None: it is not all there.
    learnt_columns: tuple[str, ...] | None
    learnt: Digests | None
    #: first and last time in microseconds since 1970; None: the table has no time.
    times: tuple[int, int] | None

    def moments(self) -> tuple[datetime | None, datetime | None]:
        if self.times is None:
            return None, None
        begin = datetime(1970, 1, 1, tzinfo=UTC)
        first, last = (begin + timedelta(microseconds=item) for item in self.times)
        return first, last


def learnt_columns(names: ModelNames, columns: Iterable[Any]) -> tuple[str, ...] | None:
    """The features, and the target if it is there, of a table with these columns; None where it lacks a feature."""
    there = [str(column) for column in columns]
    own = (names.target, names.key, names.timestamp)
    features = names.features or tuple(column for column in there if column not in own)
    if not set(features) <= set(there):
        return None
    return (*features, names.target) if names.target in there else features


def whole_digests(table: pd.DataFrame) -> Digests:
    """One of each row over all columns as they are: any other value, or type of number, is another digest."""
    return _hashed(table)


def learnt_digests(table: pd.DataFrame, columns: Sequence[str]) -> Digests:
    """One of each row over `columns`; a number is the same one whatever type holds it."""
    import pandas as pd  # slow to import, and only steps look at rows

    alike: dict[str, Any] = {}
    for name in columns:
        alike[name] = values = table[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            # + 0.0: minus zero is zero.
            alike[name] = values.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
    return _hashed(pd.DataFrame(alike, index=table.index))


def frame_of_rows(table: Any) -> pd.DataFrame:
    """A pandas, polars or pyarrow table as pandas."""
    frame: pd.DataFrame = table.to_pandas() if hasattr(table, "to_pandas") else table
    return frame


def note(table: Any, run: RunContext) -> None:
    """Add a table's rows to those that this step was handed. Outside a step nobody asks, and nothing is noted."""
    if run.folder == run.path or not run.folder.is_dir():
        return
    rows = frame_of_rows(table)
    new = _of(rows, run.model)
    before = _read(run.folder / NOTE)
    if before is not None:
        new = _joined(before, new)
    draft = run.folder / f".{NOTE}.draft"
    with draft.open("wb") as file:
        np.savez(
            file,
            columns=np.asarray(new.columns, dtype=np.str_),
            whole=new.whole,
            **_kept("learnt", new.learnt),
            **_kept("learnt_columns", new.learnt_columns),
            **_kept("times", new.times),
        )
    draft.replace(run.folder / NOTE)


def handed(path: Path, step: str) -> Handed | None:
    """What the newest attempt at `step` was handed, in the run's folder `path`; None: it did not call `split`."""
    attempts = [int(item.name) for item in (path / step).glob("[0-9]*") if item.name.isdigit()]
    return _read(path / step / str(max(attempts)) / NOTE) if attempts else None


def _of(rows: pd.DataFrame, names: ModelNames) -> Handed:
    import pandas as pd

    columns = learnt_columns(names, rows.columns)
    times = None
    if names.timestamp in rows.columns and len(rows):
        known = pd.to_datetime(rows[names.timestamp], utc=True).astype("datetime64[us, UTC]").dropna()
        times = (int(known.min().value) // 1000, int(known.max().value) // 1000) if len(known) else None
    return Handed(
        columns=tuple(map(str, rows.columns)),
        whole=whole_digests(rows),
        learnt_columns=columns,
        learnt=None if columns is None else learnt_digests(rows, columns),
        times=times,
    )


def _joined(before: Handed, new: Handed) -> Handed:
    """Rows that were handed out before, and are split once more, for example to stop early, are no other rows."""
    if before.columns == new.columns:
        fresh = ~np.isin(new.whole, before.whole)
        if not fresh.any():
            return before
    else:
        fresh = np.ones(len(new.whole), dtype=bool)
    learnt = None
    if before.learnt is not None and new.learnt is not None and before.learnt_columns == new.learnt_columns:
        learnt = np.concatenate((before.learnt, new.learnt[fresh]))
    ends = [item.times for item in (before, new) if item.times is not None]
    return Handed(
        columns=before.columns if before.columns == new.columns else (),
        whole=np.concatenate((before.whole, new.whole[fresh])),
        learnt_columns=None if learnt is None else new.learnt_columns,
        learnt=learnt,
        times=(min(low for low, _ in ends), max(high for _, high in ends)) if ends else None,
    )


def _read(path: Path) -> Handed | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        return Handed(
            columns=tuple(kept["columns"].tolist()),
            whole=kept["whole"],
            learnt_columns=tuple(kept["learnt_columns"].tolist()) if "learnt_columns" in kept else None,
            learnt=kept.get("learnt"),
            times=(int(kept["times"][0]), int(kept["times"][1])) if "times" in kept else None,
        )


def _kept(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: np.asarray(value)}


def _hashed(table: pd.DataFrame) -> Digests:
    import pandas as pd

    if not len(table.columns):
        return np.zeros(len(table), dtype=np.uint64)
    try:
        found = pd.util.hash_pandas_object(table, index=False)
    except TypeError:  # lists and the like in a column
        objects = {name: table[name].astype(str) for name in table.columns if table[name].dtype == object}
        found = pd.util.hash_pandas_object(table.assign(**objects), index=False)
    return np.asarray(found.to_numpy(), dtype=np.uint64)

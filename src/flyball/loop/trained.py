"""Which rows a model was trained on, as far as it can be known, and which of the held-out rows a model has seen.

`split`, called in the model step, says which rows it handed out. A model step that never calls it may have learnt from
every row of its table. A model that saw more than it was handed cannot be told from one that did not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.pipeline.handed import TRAINED, Digests, Handed, handed, learnt_columns, learnt_digests, whole_digests
from flyball.pipeline.step import ModelNames, RunContext
from flyball.registry.sound import repeats
from flyball.stats.sanity import overlap
from flyball.store import moment, stamp

#: of more rows than these no digests are kept (8 bytes a row).
MAX_ROWS = 5_000_000

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """The rows that a model was trained on."""

    #: what its contract and its profile are made from. Of a table that only the model step knows: this input's rows that
    #: are not held out.
    rows: pd.DataFrame
    count: int
    digest: str
    start: datetime | None
    #: no row at or after this time was seen; None: cannot be told.
    end: datetime | None
    #: the columns it learns from, and each row's digest over these; None: the table lacks a feature.
    columns: tuple[str, ...] | None
    learnt: Digests | None


def trained_on(rows: pd.DataFrame, held_out: pd.DataFrame, run: RunContext, step: str | None) -> Trained:
    """`rows`: what the model step was given; `step`: its name, None for a model that no step has made."""
    note = None if step is None else handed(run.path, step)
    if note is None:
        return _all_of(rows, held_out, run)
    part = _part_of(note, rows)
    if part is None:  # a table that only the step knows
        shared = [column for column in rows.columns if column in held_out.columns]
        part = rows
        if shared and len(held_out):
            part = rows[~_among(whole_digests(rows[shared]), whole_digests(held_out[shared]))]
    first, last = note.moments()
    return Trained(
        rows=part,
        count=len(note.whole),
        digest=_digest(note.columns, note.whole),
        start=first,
        end=_end(last, held_out, run),
        columns=note.learnt_columns,
        learnt=note.learnt,
    )


def seen(trained: Trained, held_out: pd.DataFrame) -> dict[str, Any]:
    """How many held-out rows are among the trained ones, and which share of these has a twin; or why that is untold."""
    if trained.columns is None or trained.learnt is None:
        return {"untold": "the table that split() was given lacks a feature"}
    lacking = [column for column in trained.columns if column not in held_out.columns]
    if lacking:
        return {"untold": f"the held-out table lacks {', '.join(lacking)}, which training had"}
    count, repeated = overlap(learnt_digests(held_out, trained.columns), trained.learnt)
    return {"seen": count, "rows": len(held_out), "repeated": repeated}


def keep(trained: Trained, folder: Path) -> None:
    """Leave the digests beside the bundle, for the gates in which this model will be the champion."""
    if trained.columns is not None and trained.learnt is not None and trained.count <= MAX_ROWS:
        np.savez(folder / TRAINED, columns=np.asarray(trained.columns, dtype=np.str_), learnt=trained.learnt)


def unseen_by(rows: pd.DataFrame, names: ModelNames, data_end: str | None, kept: str | None) -> tuple[Mask, bool]:
    """Which rows a registered model has not been trained on, and whether that can be told; where not, none is left out.

    A row is new to it if it is newer than all it was trained on (before `data_end`), or is not among these (`kept`: the
    file that `keep` left).
    """
    fresh = np.zeros(len(rows), dtype=bool)
    by_time = data_end is not None and names.timestamp in rows.columns
    if by_time:
        assert data_end is not None
        fresh |= (times_of(rows, names) >= moment(data_end)).to_numpy()
    known = _known(rows, kept)
    if known is not None:
        fresh |= ~known
    if not by_time and known is None:
        return np.ones(len(rows), dtype=bool), False
    return fresh, True


def times_of(rows: pd.DataFrame, names: ModelNames) -> pd.Series[Any]:
    times = pd.to_datetime(rows[names.timestamp], utc=True)
    return times.astype("datetime64[us, UTC]")


def data_digest(table: pd.DataFrame) -> str:
    """SHA-256 over the table's column names and rows, in order: any changed, added or moved value changes it."""
    return _digest(tuple(map(str, table.columns)), whole_digests(table))


def _known(rows: pd.DataFrame, kept: str | None) -> Mask | None:
    """Which rows are among those of the file; none of them, where rows repeat so often that it says nothing."""
    if kept is None or not Path(kept).is_file():
        return None
    with np.load(kept, allow_pickle=False) as file:
        columns, learnt = file["columns"].tolist(), file["learnt"]
    if not set(columns) <= set(rows.columns):
        return None
    digests = learnt_digests(rows, columns)
    known = _among(digests, learnt)
    count, repeated = overlap(digests, learnt)
    return np.zeros(len(rows), dtype=bool) if repeats(count, len(rows), repeated) else known


def _all_of(rows: pd.DataFrame, held_out: pd.DataFrame, run: RunContext) -> Trained:
    columns = learnt_columns(run.model, rows.columns)
    first = last = None
    if run.model.timestamp in rows.columns and len(rows):
        times = times_of(rows, run.model)
        first, last = times.min().to_pydatetime(), times.max().to_pydatetime()
    return Trained(
        rows=rows,
        count=len(rows),
        digest=data_digest(rows),
        start=first,
        end=_end(last, held_out, run),
        columns=columns,
        learnt=None if columns is None else learnt_digests(rows, columns),
    )


def _part_of(note: Handed, rows: pd.DataFrame) -> pd.DataFrame | None:
    """The rows that the note tells of; None: it tells of another table's."""
    if note.columns != tuple(map(str, rows.columns)):
        return None
    whole = whole_digests(rows)
    if np.array_equal(whole, note.whole):  # a refit's
        return rows
    there = _among(whole, note.whole)
    return rows[there] if np.array_equal(whole[there], note.whole) else None


def _among(digests: Digests, known: Digests) -> Mask:
    return np.asarray(pd.Series(digests).isin(known).to_numpy(), dtype=bool)


def _end(last: datetime | None, held_out: pd.DataFrame, run: RunContext) -> datetime | None:
    """Where held-out rows begin, or the window ends, if training ends before; else just after its last row."""
    if last is None:
        return None
    end = run.window.end
    if not run.refit and len(held_out) and run.model.timestamp in held_out.columns:
        end = times_of(held_out, run.model).min().to_pydatetime()
    return end if last < end else last + timedelta(microseconds=1)


def _digest(columns: tuple[str, ...], rows: Digests) -> str:
    digest = hashlib.sha256("\x1f".join(columns).encode())
    digest.update(rows.tobytes())
    return digest.hexdigest()


def stamped(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)

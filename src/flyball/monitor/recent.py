"""The newest rows that a version's errors are followed by, kept from window to window: a month is not read anew each day.

What is kept is what the windows were judged by. A window that is judged again replaces its part, so that a correction is
seen here when it is seen there; what is missing is read from the lake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flyball.monitor.measured import labelled
from flyball.monitor.streams import errors_of
from flyball.monitor.windows import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: how far back a version's errors are followed row by row; twice as much is kept, for windows that are judged again.
STREAM = timedelta(days=30)
#: more rows than these are read from the lake each time.
MOST_ROWS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """Rows with a label and a score in [start, end), in event order; arrays of shape (n,)."""

    start: datetime
    end: datetime
    #: event time in microseconds since 1970.
    micros: Ints
    version: Ints
    #: label and score; of a multiclass model whether it was wrong, and 0.
    y: Floats
    score: Floats
    #: whether every label is a value of the task.
    whole: bool

    def part(self, start: datetime, end: datetime) -> Stretch:
        """The rows in [start, end)."""
        low, high = np.searchsorted(self.micros, [_micros(start), _micros(end)])
        return Stretch(
            start=start,
            end=end,
            micros=self.micros[low:high],
            version=self.version[low:high],
            y=self.y[low:high],
            score=self.score[low:high],
            whole=self.whole,
        )

    def errors(self, task: str, version: int) -> tuple[Floats, Ints]:
        """One version's errors, and their times."""
        own = self.version == version
        errors = self.y[own] if task == "multiclass" else errors_of(task, self.y[own], self.score[own])
        return errors, self.micros[own]


def stretch_of(scored: pa.Table, window: Window, task: str, classes: tuple[str, ...] | None) -> Stretch:
    """The window's rows, as `journal.lake.scored` gives them."""
    usable = scored.filter(pc.is_valid(scored["label_text" if task == "multiclass" else "label"]))
    usable = usable.filter(pc.is_valid(usable["score"]))
    y, score = labelled(usable, task, classes)
    whole = len(y) == usable.num_rows
    if task == "multiclass":
        y, score = errors_of(task, y, score), np.zeros(len(y))
    times = usable["timestamp"].cast(pa.int64()).to_numpy() if whole else np.zeros(0, dtype=np.int64)
    version = usable["version"].cast(pa.int64()).to_numpy() if whole else np.zeros(0, dtype=np.int64)
    y, score = (y, score) if whole else (np.zeros(0), np.zeros(0))
    return Stretch(start=window[0], end=window[1], micros=times, version=version, y=y, score=score, whole=whole)


def followed(kept: Stretch | None, fresh: Stretch, read: Callable[[datetime, datetime], Stretch]) -> Stretch:
    """What is to be kept now that `fresh` was judged: `kept` with its part replaced or its end moved on, else read anew.

    Covers at least the STREAM before `fresh` ends.
    """
    if kept is None or not kept.start <= fresh.start - STREAM or not fresh.start <= kept.end:
        return read(fresh.start - 2 * STREAM, fresh.end)
    end = max(kept.end, fresh.end)
    parts = (kept.part(max(kept.start, end - 3 * STREAM), fresh.start), fresh, kept.part(fresh.end, end))
    return Stretch(
        start=parts[0].start,
        end=end,
        micros=np.concatenate([part.micros for part in parts]),
        version=np.concatenate([part.version for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        whole=kept.whole and fresh.whole,
    )


def _micros(at: datetime) -> int:
    return int(at.timestamp() * 1e6)

"""Training rows and held-out rows: by time or by share, the same rows whenever the run is repeated.

What is handed out for training is noted in the step's folder: the gate asks whether the model has seen held-out rows.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from flyball.errors import Mistake
from flyball.pipeline.handed import frame_of_rows, learnt_columns, learnt_digests, note
from flyball.project.durations import parse_duration

if TYPE_CHECKING:
    import numpy.typing as npt

    from flyball.pipeline.step import RunContext


def split(table: Any, run: RunContext, *, newest: str | None = None, share: float | None = None) -> tuple[Any, Any]:
    """(train, held_out) of a pandas, polars or pyarrow table, each in the table's own order.

    newest="7d": held out are the rows of the window's last seven days, by `[model] timestamp`.
    share=0.2: held out are about a fifth of the keys, with all of their rows, if the model has a `key`: which ones
    depends on `run.seed` and the key alone. Without a key: about a fifth of the rows, which ones depends on `run.seed` and
    what stands in the row (features and target, if they are all there): equal rows go together, and rows that come later
    move none.
    When `run.refit`, everything is training data and the held-out table is empty.

    Raises Mistake when not exactly one of the two is given, or the columns do not allow it.
    """
    if (newest is None) == (share is None):
        raise Mistake("split(): give exactly one of newest='7d' and share=0.2")
    if run.refit:
        held_out = np.zeros(len(table), dtype=bool)
    elif newest is not None:
        held_out = _newest(table, run, newest)
    else:
        assert share is not None
        held_out = _share(table, run, share)
    training = _rows(table, ~held_out)
    note(training, run)
    return training, _rows(table, held_out)


def _newest(table: Any, run: RunContext, newest: str) -> npt.NDArray[np.bool_]:
    import pyarrow as pa  # slow to import, and only steps split
    import pyarrow.compute as pc

    name = run.model.timestamp
    if name is None:
        raise Mistake(f"split(newest={newest!r}): the model has no time; set `[model] timestamp`, or give share=")
    times = _column(table, name)
    if not pa.types.is_timestamp(times.type) or times.type.tz is None:
        raise Mistake(
            f"split(newest={newest!r}): column {name!r} is {times.type}, needs times with a time zone; "
            f"in pandas: pd.to_datetime(table[{name!r}], utc=True)"
        )
    if times.null_count:
        raise Mistake(f"split(newest={newest!r}): {times.null_count} rows have no {name!r}; drop or fill them first")
    try:
        since = run.window.end - timedelta(seconds=parse_duration(newest))
    except ValueError as error:
        raise Mistake(f"split(newest={newest!r}): {error}") from error
    return np.asarray(pc.greater_equal(times, pa.scalar(since, type=times.type)), dtype=bool)


def _share(table: Any, run: RunContext, share: float) -> npt.NDArray[np.bool_]:
    if not 0 < share < 1:
        raise Mistake(f"split(share={share!r}): needs a number between 0 and 1")
    if run.model.key is None:
        rows = frame_of_rows(table)
        columns = learnt_columns(run.model, rows.columns) or tuple(rows.columns)
        return _fractions(learnt_digests(rows, columns), run.seed) < share
    keys = _column(table, run.model.key).to_pylist()
    drawn = {key: _fraction(f"{run.seed}\x1f{key}") < share for key in set(keys)}
    return np.array([drawn[key] for key in keys], dtype=bool)


def _fraction(text: str) -> float:
    """A number in [0, 1) determined by the text, uniform over texts."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


def _fractions(digests: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), each determined by its digest and the seed: splitmix64's last steps (Steele et al. 2014)."""
    start = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest())
    mixed = digests + np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2**53)


def _column(table: Any, name: str) -> Any:
    """The column as an Arrow array, whatever the table is."""
    import pyarrow as pa

    names = getattr(table, "column_names", None) or list(table.columns)
    if name not in names:
        raise Mistake(f"split(): the table has no column {name!r}; it has {', '.join(map(str, names))}")
    column = table[name]
    if isinstance(column, pa.ChunkedArray):
        return column
    return column.to_arrow() if hasattr(column, "to_arrow") else pa.Array.from_pandas(column)


def _rows(table: Any, keep: npt.NDArray[np.bool_]) -> Any:
    """The rows where `keep`: pandas by mask, polars and pyarrow by their `filter`."""
    return table.loc[keep] if hasattr(table, "loc") else table.filter(keep.tolist())

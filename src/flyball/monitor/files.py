"""A Parquet file with one column a feature: its profile, in memory that its number of rows and columns leaves alone, and the
verdict on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flyball.errors import Mistake
from flyball.monitor.inputs import ANSWERS, THREADS, profile_batches
from flyball.project.records import MonitorSettings
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.profile import Reference, WindowProfile

#: columns read side by side by one thread: a batch of all columns of a wide file is as large as many batches of a few.
COLUMNS = 8
BATCH_ROWS = 65_536
BUFFER_BYTES = 1 << 16
#: columns that a message lists at most.
LISTED = 20

_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def judge_parquet(reference: Reference, file: Path, *, settings: MonitorSettings) -> DriftVerdict:
    """The verdict on a file's rows as on a window's. Nobody knows when they were: hours and weekdays play no part. What the
    model answers is not in the file, and not judged.

    Raises Mistake where the file is not Parquet, or lacks a feature that is judged or cut by, or holds it in another kind.
    """
    wanted = [name for name in settings.features or reference.features if name not in ANSWERS]
    if not wanted:
        raise Mistake(
            f"{file}: nothing to judge it by: [monitor] features names none of the model's features; add some"
        )
    features = {name: known for name, known in reference.features.items() if name in wanted}
    slices = {name: sliced for name, sliced in reference.slices.items() if name in settings.slices}
    schema = _schema(file)
    _require(reference, file, schema, dict.fromkeys([*features, *slices]))
    try:
        profile = profile_parquet(replace(reference, features=features, slices=slices), file)
    except (pa.ArrowException, OSError) as error:
        raise Mistake(f"{file}: cannot be read to its end: {_first_line(error)}; write it once more") from error
    rate = settings.false_alarms_per_window
    return judge(reference, profile, false_alarms=rate, features=wanted, slices=settings.slices)


def profile_parquet(reference: Reference, file: Path) -> WindowProfile:
    """Every row of a file with one column a feature, and of each of the reference's slices. Columns the reference does not
    know are not read, features that the file does not have are missing in every row.
    """
    with pq.ParquetFile(file) as opened:
        rows, held = opened.metadata.num_rows, set(opened.schema_arrow.names)
    names = list(reference.features)
    groups = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]

    def profile(group: Sequence[str]) -> WindowProfile:
        part = replace(reference, features={name: reference.features[name] for name in group})
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as opened:
            # What cuts the rows is read beside each group.
            columns = [name for name in dict.fromkeys([*group, *reference.slices]) if name in held]
            batches = opened.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
            return profile_batches(part, batches)

    with ThreadPoolExecutor(THREADS) as threads:
        parts = list(threads.map(profile, groups))
    slices = {name: tuple(map(_beside, *(part.slices[name] for part in parts))) for name in reference.slices}
    return replace(_beside(*parts), rows=rows, slices=slices)


def _beside(*parts: WindowProfile) -> WindowProfile:
    """One profile of the same rows' features, which `parts` have among them."""
    features = {name: known for part in parts for name, known in part.features.items()}
    return WindowProfile(rows=parts[0].rows if parts else 0, features=features)


def _schema(file: Path) -> pa.Schema:
    try:
        with pq.ParquetFile(file) as opened:
            return opened.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise Mistake(
            f"{file}: is not a Parquet file: {_first_line(error)}; needed: Parquet with a column for each feature, as "
            "pandas' `to_parquet` writes it"
        ) from error


def _require(reference: Reference, file: Path, schema: pa.Schema, needed: Collection[str]) -> None:
    """Every needed column is there, once, and holds what training held."""
    missing = [name for name in needed if name not in schema.names]
    if missing:
        raise Mistake(
            f"{file}: lacks {_listed(missing)}; it has {_listed(schema.names)}; add a column for each, or name in [monitor] "
            "features those that are to be judged"
        )
    for name in needed:
        if schema.names.count(name) > 1:
            raise Mistake(f"{file}: has {schema.names.count(name)} columns named {name!r}; leave one")
        found, is_category = schema.field(name).type, reference.features[name].bins.kind == "category"
        held = found.value_type if pa.types.is_dictionary(found) else found
        # A column of nothing but nulls has no type.
        if not any(test(held) for test in (pa.types.is_null, *(_TEXTS if is_category else _NUMBERS))):
            kind, mend = ("text", "text") if is_category else ("numbers", "integers, floats, decimals or booleans")
            raise Mistake(f"{file}: column {name!r} holds {found}, training held {kind}; write it as {mend}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "") if names else "no column"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

"""The profile of a whole Parquet file, in memory that its number of rows and columns leaves alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from flyball.monitor.inputs import THREADS, profile_batches
from flyball.stats.profile import Reference, WindowProfile

#: columns read side by side by one thread: a batch of all columns of a wide file is as large as many batches of a few.
COLUMNS = 8
BATCH_ROWS = 65_536
BUFFER_BYTES = 1 << 16


def profile_parquet(reference: Reference, file: Path) -> WindowProfile:
    """Every row of a file with one column a feature. Columns the reference does not know are not read, features that the
    file does not have are missing in every row.
    """
    with pq.ParquetFile(file) as opened:
        rows, held = opened.metadata.num_rows, set(opened.schema_arrow.names)
    names = list(reference.features)
    groups = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]

    def profile(group: Sequence[str]) -> WindowProfile:
        part = replace(reference, features={name: reference.features[name] for name in group}, slices={})
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as opened:
            columns = [name for name in group if name in held]
            batches = opened.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
            return profile_batches(part, batches)

    with ThreadPoolExecutor(THREADS) as threads:
        parts = list(threads.map(profile, groups))
    return WindowProfile(rows=rows, features={name: part.features[name] for part in parts for name in part.features})

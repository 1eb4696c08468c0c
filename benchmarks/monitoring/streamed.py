"""A wide Parquet file against a stored reference, in a process of its own that holds nothing else."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from flyball.monitor.files import profile_parquet
from flyball.stats.drift import judge
from flyball.stats.profile_file import reference_from_bytes


def streamed(file: Path) -> None:
    """Prints seconds, processor seconds and megabytes resident at most."""
    start, used = time.perf_counter(), time.process_time()
    reference = reference_from_bytes(file.with_suffix(".json").read_bytes())
    verdict = judge(reference, profile_parquet(reference, file), false_alarms=0.01)
    assert verdict.rows == pq.read_metadata(file).num_rows, verdict.rows
    # `getrusage` would count what the process that started this one held, too.
    most = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024
    print(time.perf_counter() - start, time.process_time() - used, most)


if __name__ == "__main__":
    streamed(Path(sys.argv[1]))

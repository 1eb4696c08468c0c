"""What a large window costs: against SciPy's tests column by column and other tools, and streamed from Parquet."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from benchmarks.monitoring.peers import PEERS, NotMeasured, Report, measure
from flyball.monitor.inputs import THREADS, profile_batches
from flyball.stats.drift import judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile_file import reference_bytes, reference_from_bytes

ROWS = 1_000_000
REFERENCE_ROWS = 100_000
NUMBERS, CATEGORIES, LEVELS = 25, 5, (3, 5, 10, 50, 1_000)
WIDE = 100
BATCH_ROWS = 65_536
ROUNDS = 3
MOST_S, MOST_MB = 5.0, 400
#: the load of a quiet machine stays under it.
QUIET_LOAD = 0.5

Columns = dict[str, npt.NDArray[np.generic] | pa.Array]


def columns(rng: np.random.Generator, rows: int) -> Columns:
    """Twenty normals, five integers and five categories, one of a thousand levels; as the lake hands them on."""
    made: Columns = {}
    for place in range(NUMBERS):
        made[f"n{place:02d}"] = rng.normal(size=rows) if place < 20 else rng.poisson(20, rows).astype(float)
    for place, many in enumerate(LEVELS):
        names = np.array([f"level {number}" for number in range(many)])
        made[f"c{place}"] = pa.array(names[rng.integers(0, many, rows)])
    return made


def by_flyball(reference: bytes, batches: list[pa.RecordBatch]) -> None:
    known = reference_from_bytes(reference)
    with ThreadPoolExecutor(THREADS) as threads:
        judge(known, profile_batches(known, batches, apply=threads.map), false_alarms=0.01)


def by_scipy(known: Columns, seen: Columns, counted: dict[str, dict[str, int]]) -> None:
    """KS for numbers, chi-square for categories; counting levels with Arrow, which is the fastest way there is."""
    for name, column in seen.items():
        if isinstance(column, np.ndarray):
            stats.ks_2samp(column, known[name], method="asymp")
        else:
            now = {item["values"]: item["counts"] for item in column.value_counts().to_pylist()}
            levels = sorted(now.keys() | counted[name].keys())
            both = np.array(
                [[now.get(level, 0) for level in levels], [counted[name].get(level, 0) for level in levels]]
            )
            stats.chi2_contingency(both)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def beside_scipy(known: Columns, seen: Columns) -> tuple[list[float], list[float]]:
    """Seconds of alternating rounds."""
    kinds = {name: "category" if name.startswith("c") else "number" for name in known}
    plain = {
        name: column if isinstance(column, np.ndarray) else column.to_numpy(zero_copy_only=False)
        for name, column in known.items()
    }
    reference = reference_bytes(fit_reference(plain, kinds, None))
    batches = pa.table(seen).to_batches(max_chunksize=BATCH_ROWS)
    counted = {
        name: {item["values"]: item["counts"] for item in column.value_counts().to_pylist()}
        for name, column in known.items()
        if not isinstance(column, np.ndarray)
    }
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: by_flyball(reference, batches)))
        theirs.append(seconds(lambda: by_scipy(known, seen, counted)))
    return ours, theirs


def write_wide(file: Path) -> None:
    """A million rows of a hundred numbers, as float64."""
    rng = np.random.default_rng(1)
    names = [f"n{place:02d}" for place in range(WIDE)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pq.ParquetWriter(file, schema) as writer:
        for _ in range(10):
            writer.write_table(pa.table({name: rng.normal(size=ROWS // 10) for name in names}, schema=schema))
    known = {name: rng.normal(size=REFERENCE_ROWS) for name in names}
    file.with_suffix(".json").write_bytes(reference_bytes(fit_reference(known, dict.fromkeys(names, "number"), None)))


def beside_peers(known: Columns, seen: Columns, folder: Path) -> Iterator[Report | str]:
    """Each peer's report on the same rows, once, as they take long; or the line that says why it is left out."""
    reference, window = folder / "reference.parquet", folder / "window.parquet"
    pq.write_table(pa.table(known), reference)
    pq.write_table(pa.table(seen), window)
    for peer in PEERS:
        try:
            yield measure(peer, reference, window, len(known))
        except NotMeasured as error:
            yield f"Left out: {peer.title}: {error}."


def peer_row(found: Report, scipy: float) -> str:
    ratio, over = found.seconds / scipy, found.peer.over
    claim = "|" if over is None else f"more than {over:g} x SciPy | {'met' if ratio > over else '**not met**'}"
    told = f"the same rows by {found.peer.title} {found.version}, {found.peer.report}"
    return f"| {told} | {found.seconds:.2f} | {ratio:.1f} | {claim} |"


def streamed() -> str:
    """The row of a wide file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wide.parquet"
        write_wide(file)
        command = [sys.executable, "-m", "benchmarks.monitoring.streamed", str(file)]
        rounds = [
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(ROUNDS)
        ]
    wall, used, most = (min(float(one[place]) for one in rounds) for place in range(3))
    met = "met" if wall < MOST_S and most < MOST_MB else "**not met**"
    told = f"1,000,000 x 100 from Parquet, streamed ({used:.2f} s of processor, {most:.0f} MB resident at most)"
    return f"| {told} | {wall:.2f} | | under {MOST_S:.0f} s, {MOST_MB} MB | {met} |"


def table() -> Iterator[str]:
    load = os.getloadavg()[0]
    yield "## What a large window costs"
    busy = f" Load of the machine at the start: {load:.1f}." if load > QUIET_LOAD else ""
    yield f"Best of {ROUNDS} rounds in turn, other tools once, all in one run.{busy}"
    yield ""
    rng = np.random.default_rng(0)
    known, seen = columns(rng, REFERENCE_ROWS), columns(rng, ROWS)
    ours, theirs = (min(rounds) for rounds in beside_scipy(known, seen))
    yield "| case | seconds | x SciPy | asked | |"
    yield "|---|---|---|---|---|"
    met = "met" if ours <= theirs else "**not met**"
    told = "1,000,000 x 30 against a stored reference, read, counted and judged"
    yield f"| {told} | {ours:.2f} | {ours / theirs:.2f} | not slower than SciPy | {met} |"
    yield f"| the same by SciPy, ks_2samp and chi2_contingency column by column | {theirs:.2f} | 1 | | |"
    with tempfile.TemporaryDirectory() as folder:
        found = list(beside_peers(known, seen, Path(folder)))
    yield from (peer_row(one, theirs) for one in found if isinstance(one, Report))
    yield streamed()
    left_out = [one for one in found if isinstance(one, str)]
    yield from ["", *left_out] if left_out else []

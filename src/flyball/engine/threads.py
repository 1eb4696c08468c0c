"""How many threads a graph is given for large batches: measured where it will run, because no rule foretells it.

A small batch always has one: handing it to others costs more than it saves. A large one is cut into parts by its rows,
so its answer is the same to the bit, whatever was measured; the runtime's own threads add up trees in another order.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from flyball.engine.contract import Table, rows_of

#: batches from here on are large.
LARGE_ROWS = 512
#: rows that are measured, and how often; the best round counts, because what else the machine does can only be slower.
MEASURED_ROWS = 1_000
ROUNDS = 3
#: more threads must be faster by this factor than fewer: they take cores from everybody else.
GAIN = 1.3


#: a table's rows -> float32 of shape (rows, width).
Run = Callable[[Table], npt.NDArray[np.float32]]


class Spread:
    """Runs a large batch in as many parts as threads, at the same time: the graph leaves the interpreter's lock."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # The caller's own thread does the first part.
        self._others = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="rows")

    def __call__(self, run: Run, table: Table) -> npt.NDArray[np.float32]:
        if self._threads == 1:
            return run(table)
        cuts = np.linspace(0, table.rows, self._threads + 1).astype(int).tolist()
        first, *rest = [rows_of(table, start, stop) for start, stop in pairwise(cuts)]
        later = [self._others.submit(run, part) for part in rest]
        return np.concatenate([run(first), *[part.result() for part in later]])


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def choose(seconds: Mapping[int, float]) -> int:
    """The threads to take. `seconds`: number of threads -> duration of the same batch; 1 must be among them."""
    chosen = 1
    for threads in sorted(seconds):
        if seconds[threads] * GAIN <= seconds[chosen]:
            chosen = threads
    return chosen


def candidates(most: int) -> tuple[int, ...]:
    """What is measured: 1, 2, 4 and so on, up to `most`."""
    powers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return tuple(powers if powers[-1] == most else [*powers, most])


def seconds_of(act: Callable[[], object]) -> float:
    """The best of a few rounds, after one to warm up."""
    act()
    return min(_timed(act) for _ in range(ROUNDS))


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began

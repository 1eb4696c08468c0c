"""What judging costs on a million rows, and what versions cost: `python -m benchmarks.gate`.

Prints seconds of processor time on one thread, the best of three rounds, and their ratio to sorting as many rows once
(`numpy.argsort`), which travels from machine to machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.gate.registering import report
from flyball.stats.answers import answers_of
from flyball.stats.intervals import paired, paired_of
from flyball.stats.names import METRIC_NAMES
from flyball.stats.sanity import alone, overlap

ROWS = 1_000_000
ROUNDS = 3
CLASSES = 5

Floats = npt.NDArray[np.float64]
Rows = tuple[Floats, Floats, Floats]


def main(rows: int = ROWS) -> None:
    """One line per case; an argument is the number of rows."""
    given = tasks(rows)
    reference = seconds(partial(np.argsort, given["binary"][1]))
    print(f"{'argsort of as many rows':44} {reference:7.3f} s")
    for name, case in cases(given, rows).items():
        spent = seconds(case)
        print(f"{name:44} {spent:7.3f} s   {spent / reference:6.1f} x argsort")
    for name, spent in report():
        print(f"{name:52} {spent:7.3f} s", flush=True)


def tasks(rows: int) -> Mapping[str, Rows]:
    """Labels, candidate's and champion's answers of each task; the two models agree on much."""
    random = np.random.default_rng(0)
    shared, first, second = random.normal(size=(3, rows))
    late = (random.random(rows) < 0.3).astype(float)
    classes = random.integers(0, CLASSES, rows)
    probabilities = random.dirichlet(np.ones(CLASSES), rows) + 0.3 * np.eye(CLASSES)[classes]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {
        "binary": (late, *(1 / (1 + np.exp(1 - late - shared - 0.3 * own)) for own in (first, second))),
        "multiclass": (classes.astype(float), probabilities, 0.9 * probabilities + 0.1 / CLASSES),
        "regression": (shared, shared + 0.3 * first, shared + 0.3 * second),
    }


def cases(given: Mapping[str, Rows], rows: int) -> Mapping[str, Callable[[], object]]:
    """What is measured, by the name it is told by."""
    days = np.arange(rows) * 60 // rows
    found: dict[str, Callable[[], object]] = {
        "AUC, paired (DeLong)": partial(paired, "auc", "binary", *given["binary"], confidence=0.95),
        "AUC, paired, 60 days as clusters": partial(
            paired, "auc", "binary", *given["binary"], confidence=0.95, clusters=days
        ),
    }
    found |= {f"every metric of a {task} task, paired": partial(every, task, *one) for task, one in given.items()}
    late, score, _ = given["binary"]
    part = rows * 3 // 10
    table = pd.DataFrame({f"x{number}": np.roll(score, number) for number in range(16)}).iloc[:part]
    found[f"digests and overlap, {part:,} rows x 16"] = partial(digests, table)
    found["one feature against the target, 20,000 rows"] = partial(alone, "binary", late[:20_000], score[:20_000])
    return found


def every(task: str, y: Floats, candidate: Floats, champion: Floats) -> None:
    """As the gate does: rows are checked and sorted once for all metrics."""
    both = answers_of(task, y, candidate), answers_of(task, y, champion)
    for metric in METRIC_NAMES[task]:
        paired_of(metric, *both, confidence=0.95)


def digests(table: pd.DataFrame) -> tuple[int, float]:
    found = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return overlap(found[: len(found) // 10], found)


def seconds(case: Callable[[], object]) -> float:
    """Processor seconds of the best round: what else the machine does can only make one slower."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        case()
        spent.append(time.process_time() - began)
    return min(spent)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

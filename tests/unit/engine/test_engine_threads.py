"""Threads are chosen by what was measured."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import pytest

from flyball.engine.contract import Feature, Layout, Table
from flyball.engine.threads import ROUNDS, Spread, candidates, choose, seconds_of


@pytest.mark.parametrize(
    ("seconds", "threads"),
    [
        ({1: 1.0}, 1),
        ({1: 1.3, 2: 1.0}, 2),
        ({1: 1.29, 2: 1.0}, 1),
        ({1: 1.0, 2: 2.0}, 1),
        ({1: 4.0, 2: 2.0, 4: 1.0}, 4),
        ({1: 4.0, 2: 2.0, 4: 1.6}, 2),
        ({1: 4.0, 2: 3.5, 4: 3.0}, 4),
        ({4: 1.0, 2: 2.0, 1: 1.2}, 1),
    ],
)
def test_more_threads_are_taken_where_they_are_clearly_faster(seconds: dict[int, float], threads: int) -> None:
    """By a factor of 1.3 over the fewer that were chosen so far."""
    assert choose(seconds) == threads


@pytest.mark.parametrize(
    ("most", "counts"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 2, 4)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))]
)
def test_powers_of_two_are_measured_and_the_most(most: int, counts: tuple[int, ...]) -> None:
    """Few enough to measure at every load."""
    assert candidates(most) == counts


def test_a_duration_is_the_best_of_a_few_rounds_after_one_to_warm_up() -> None:
    """Never negative; every round is one call."""
    calls: list[int] = []
    assert seconds_of(lambda: calls.append(1)) >= 0
    assert len(calls) == ROUNDS + 1


@pytest.mark.parametrize(("threads", "parts"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (7, [1] * 7)])
def test_a_large_batch_is_cut_by_its_rows_and_put_together_in_order(threads: int, parts: list[int]) -> None:
    """Every row once; the caller's own thread does the first part."""
    layout = Layout.of((Feature(name="x", kind="number", nullable=False),))
    x = np.arange(7, dtype=np.float32).reshape(7, 1)
    seen: list[tuple[float, int, bool]] = []

    def double(part: Table) -> npt.NDArray[np.float32]:
        seen.append((float(part.numbers[0, 0]), part.rows, threading.current_thread() is threading.main_thread()))
        return 2 * part.numbers

    answer = Spread(threads)(double, Table(layout, x, np.empty((7, 0), dtype=object)))
    assert np.array_equal(answer, 2 * x)
    assert [rows for _, rows, _ in sorted(seen)] == parts
    assert [own for _, _, own in sorted(seen)] == [True, *[False] * (threads - 1)]

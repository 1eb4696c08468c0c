"""Proof that what will be served answers as the fitted model does, by counting the rows where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flyball.engine.fitted import answers
from flyball.engine.frame import columns_from_frame
from flyball.engine.session import Engine
from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

#: difference allowed in a row, unless a project says otherwise.
TOLERANCE = 1e-5
#: share of rows that may differ: float32 may send a row that lies on a tree's threshold the other way.
MAX_SHARE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How an engine's answers compare with the model's own on the same rows."""

    rows: int
    #: difference allowed in a row: of any class's probability; of a value, relative to max(1, |value|).
    tolerance: float
    #: rows that differ by more.
    over_tolerance: int
    max_difference: float
    #: rows whose most probable class is another, by more than the tolerance: a tie may fall either way, as those of
    #: a small forest's votes do. 0 for a regression.
    class_changes: int
    #: neither count is over 0.1 % of the rows.
    passed: bool


def prove(fitted: Any, engine: Engine, frame: pd.DataFrame, *, tolerance: float = TOLERANCE) -> Parity:
    """Answer every row of `frame` with both and count differences. Slow: as slow as the model itself.

    Use rows the model will meet (held-out ones, missing values and all). Raises `Mistake` for an empty frame.
    """
    return compare(partial(answers, fitted, engine.contract), engine, frame, tolerance=tolerance)


def compare(
    ask: Callable[[pd.DataFrame], npt.NDArray[np.float64]],
    engine: Engine,
    frame: pd.DataFrame,
    *,
    tolerance: float = TOLERANCE,
) -> Parity:
    """As `prove`, of whatever `ask` stands for: a table -> shape (rows, classes), or (rows, 1) of a regression."""
    if not len(frame):
        raise Mistake(f"model {engine.contract.model!r}: no rows to prove parity on")
    expected = ask(frame)
    got = engine.predict(columns_from_frame(engine.contract, frame))
    if got.probabilities is None:
        value = expected.ravel()
        difference = np.abs(value - got.score) / np.maximum(1.0, np.abs(value))
        changes = 0
    else:
        difference = np.abs(expected - got.probabilities).max(axis=1)
        chosen = np.take_along_axis(expected, got.probabilities.argmax(axis=1, keepdims=True), axis=1).ravel()
        changes = int((expected.max(axis=1) - chosen > tolerance).sum())
    difference = np.nan_to_num(difference, nan=np.inf)
    over = int((difference > tolerance).sum())
    return Parity(
        rows=len(frame),
        tolerance=tolerance,
        over_tolerance=over,
        max_difference=float(difference.max()),
        class_changes=changes,
        passed=max(over, changes) <= MAX_SHARE * len(frame),
    )

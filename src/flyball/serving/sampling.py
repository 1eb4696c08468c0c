"""Which answered rows the journal keeps, where `[journal] sample` is below 1. Pure.

Decided by a hash of the row's id, so that the same id always falls the same way: a client's retry, a shadow's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from flyball.engine.contract import Columns, Prediction, Table
from flyball.serving.protocols.native import Asked

_SPAN = 2**64


def chosen(ids: Sequence[str], share: float) -> list[int]:
    """Positions of the ids that are kept, about `share` (0 to 1) of them."""
    limit = share * _SPAN
    return [
        row for row, item in enumerate(ids) if int.from_bytes(blake2b(item.encode(), digest_size=8).digest()) < limit
    ]


def sampled(
    share: float, asked: Asked, prediction: Prediction, ids: list[str]
) -> tuple[Asked, Prediction, list[str]] | None:
    """What the journal keeps of a request and its answer; None where it keeps nothing."""
    rows = chosen(ids, share)
    if len(rows) in (0, len(ids)):
        return (asked, prediction, ids) if rows else None
    at = np.array(rows)
    return (
        replace(
            asked,
            columns=_taken(asked.columns, at),
            rows=len(rows),
            text=None,
            keys=None if asked.keys is None else [asked.keys[row] for row in rows],
            timestamp=[asked.timestamp[row] for row in rows] if isinstance(asked.timestamp, list) else asked.timestamp,
        ),
        Prediction(
            prediction=prediction.prediction[at],
            score=prediction.score[at],
            probabilities=None if prediction.probabilities is None else prediction.probabilities[at],
        ),
        [ids[row] for row in rows],
    )


def _taken(columns: Columns, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Columns:
    if isinstance(columns, Table):
        return Table(columns.layout, columns.numbers[at], columns.categories[at])
    return {name: column[at] for name, column in columns.items()}

"""The reference, fitted once on the rows a version was trained on and kept with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.stats.bins import Coded, Codes, as_numbers, category_bins, counted_levels, number_bins
from flyball.stats.blocks import DAY_S, Cut
from flyball.stats.counting import common_length
from flyball.stats.profile import CONFIDENCE, SCORE, FeatureReference, Reference, Sliced
from flyball.stats.slices import NOWHERE, fit_slicer
from flyball.stats.tally import Ruler, fit_ruler, tally_of

#: Days that the null is learned from; older ones count in the totals only. Of shorter blocks as many as there are in these
#: days, up to four a day: of hours, those of twenty days.
MAX_BLOCKS = 120
MAX_SHORT_BLOCKS = 480


def fit_reference(
    columns: Mapping[str, npt.ArrayLike | Coded],
    kinds: Mapping[str, str],
    blocks: npt.ArrayLike | None,
    *,
    cut: Cut | None = None,
    slices: Sequence[str] = (),
) -> Reference:
    """The profile of the training rows: bins, then counts per block. 300,000 rows x 16 features take under a second.

    `columns`: name -> shape (n,), categories coded or not; `kinds`: name -> "category", anything else is a number; `blocks`:
    shape (n,), integers ascending in time (the day's number), None where rows have no time. `cut`: how they were cut, where
    that is known; `slices`: names of columns. Raises Mistake where lengths differ.
    """
    rows = common_length(columns)
    index, kept = _block_index(rows, blocks, most_blocks(cut))
    features = {name: _fit_feature(name, column, kinds[name], index, len(kept) + 1) for name, column in columns.items()}
    sliced = {name: _fit_slices(columns, features, name, kinds[name], index, len(kept) + 1) for name in slices}
    return Reference(rows=rows, blocks=kept, features=features, cut=cut, slices=sliced)


def answers_of(task: str, score: npt.NDArray[np.floating[Any]]) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """What is profiled of a model's answers, by their scores of shape (n,): its score, and for two classes the confidence
    beside it; of several classes the score is the answered class's probability, and so the confidence itself.
    """
    if task == "multiclass":
        return {CONFIDENCE: score}
    return {SCORE: score} if task == "regression" else {SCORE: score, CONFIDENCE: np.maximum(score, 1 - score)}


def most_blocks(cut: Cut | None) -> int:
    """How many blocks a reference keeps."""
    return MAX_BLOCKS if cut is None else min(MAX_BLOCKS * (DAY_S // cut.block_s), MAX_SHORT_BLOCKS)


def _fit_slices(
    columns: Mapping[str, npt.ArrayLike | Coded],
    features: Mapping[str, FeatureReference],
    name: str,
    kind: str,
    index: Codes,
    blocks: int,
) -> Sliced:
    slicer = fit_slicer(name, columns[name], kind)
    places = slicer.places(columns[name])
    inside = places != NOWHERE
    cells, many = places[inside] * blocks + index[inside], len(slicer.levels) * blocks
    tallies = {
        known.name: tally_of(known.bins, known.ruler, _where(columns[known.name], inside), cells, many)
        for known in features.values()
        # Its own column does not vary in a slice.
        if known.name != name and many
    }
    return Sliced(slicer=slicer, tallies=tallies)


def _where(column: npt.ArrayLike | Coded, rows: npt.NDArray[np.bool_]) -> npt.ArrayLike | Coded:
    if isinstance(column, Coded):
        return Coded(codes=column.codes[rows], levels=column.levels)
    return np.asarray(column)[rows]


def _block_index(rows: int, blocks: npt.ArrayLike | None, most: int) -> tuple[Codes, tuple[int, ...]]:
    """Each row's place in the tally (0 = in no kept block), and the kept blocks."""
    if blocks is None:
        return np.zeros(rows, dtype=np.int64), ()
    given, codes = np.unique(np.asarray(blocks), return_inverse=True)
    dropped = max(len(given) - most, 0)
    return np.maximum(codes - dropped + 1, 0), tuple(int(block) for block in given[dropped:])


def _fit_feature(name: str, column: npt.ArrayLike | Coded, kind: str, index: Codes, blocks: int) -> FeatureReference:
    if kind == "category":
        bins, ruler = category_bins(counted_levels(column)), Ruler()
    else:
        assert not isinstance(column, Coded), "a number is not coded"
        values = as_numbers(column)
        ordered = np.sort(values[np.isfinite(values)])
        bins, ruler = number_bins(ordered), fit_ruler(ordered)
    return FeatureReference(name=name, bins=bins, ruler=ruler, tally=tally_of(bins, ruler, column, index, blocks))

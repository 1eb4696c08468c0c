"""What a version's training data looked like, per feature and block (day), and the same of a window of live rows.

The reference is fitted once and kept with the version; windows are counted into its frozen bins. Everything kept is a
count or an integer sum, so the profiles of parts add up to the profile of the whole, exactly, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.errors import Mistake
from flyball.stats.bins import Bins, Coded, Codes, as_numbers, category_bins, counted_levels, number_bins
from flyball.stats.blocks import DAY_S, Cut
from flyball.stats.slices import NOWHERE, Slicer, fit_slicer
from flyball.stats.tally import Ints, Ruler, Tally, fit_ruler, tally_of, tally_window

#: Names under which the model's own answers are profiled beside its features: its score; and its confidence, which is the
#: probability of the class it answers.
SCORE = "(score)"
CONFIDENCE = "(confidence)"

#: Days that the null is learned from; older ones count in the totals only. Of shorter blocks as many as there are in these
#: days, up to four a day: of hours, those of twenty days.
MAX_BLOCKS = 120
MAX_SHORT_BLOCKS = 480


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureReference:
    """One feature of the reference."""

    name: str
    bins: Bins
    ruler: Ruler
    #: first block: rows of no kept day (older ones, or all where there are no days); then one per day, ascending.
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sliced:
    """The reference's rows once more, cut by one column."""

    slicer: Slicer
    #: feature -> its tally in the bins of the whole: all blocks of the first slice, then of the second, ...
    tallies: Mapping[str, Tally]

    def part(self, place: int, features: Mapping[str, FeatureReference]) -> dict[str, FeatureReference]:
        """The reference of one slice. `features`: those of the whole."""

        def cut(name: str, tally: Tally) -> FeatureReference:
            blocks = len(tally.missing) // len(self.slicer.levels)
            return replace(features[name], tally=tally.at(np.arange(place * blocks, (place + 1) * blocks)))

        return {name: cut(name, tally) for name, tally in self.tallies.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """What training saw."""

    rows: int
    #: the days kept one by one, ascending, at most MAX_BLOCKS, as the numbers given to `fit_reference`.
    blocks: tuple[int, ...]
    features: Mapping[str, FeatureReference]
    #: how the blocks were cut; None: nobody knows when they were.
    cut: Cut | None = None
    #: column -> its slices.
    slices: Mapping[str, Sliced] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureProfile:
    """One feature of a window, in the reference's bins."""

    name: str
    bins: Bins
    ruler: Ruler
    #: of exactly one block.
    tally: Tally

    @property
    def counts(self) -> Ints:
        """Shape (bins,)."""
        counts: Ints = self.tally.counts[0]
        return counts

    @property
    def n(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        """Rows without a value, nan and inf included."""
        return int(self.tally.missing[0])

    @property
    def invalid(self) -> int:
        """Rows among them that hold what is no value of the kind: infinities, text in a column of numbers."""
        return int(self.tally.invalid[0])

    @property
    def below(self) -> int:
        """Rows below the reference's least value."""
        return int(self.counts[0]) if self.bins.kind == "number" else 0

    @property
    def above(self) -> int:
        """Rows above the reference's greatest value."""
        return int(self.counts[-1]) if self.bins.kind == "number" else 0

    @property
    def unseen(self) -> int:
        """Rows with a level the reference never saw."""
        return int(self.counts[-1]) if self.bins.kind == "category" else 0

    @property
    def mean(self) -> float:
        """Mean of the values, to a millionth of the reference's sd; nan without values and for categories."""
        if self.n == 0 or self.bins.kind == "category":
            return float("nan")
        return self.ruler.mean + int(self.tally.deviations[0]) / self.n * self.ruler.unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowProfile:
    """A window of live rows in the reference's bins."""

    rows: int
    features: Mapping[str, FeatureProfile]
    #: column -> the profile of each of its slices, in the order of the reference's.
    slices: Mapping[str, tuple[WindowProfile, ...]] = field(default_factory=dict)


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
    rows = _common_length(columns)
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


def profile_window(
    reference: Reference,
    columns: Mapping[str, npt.ArrayLike | Coded],
    *,
    cutting: Mapping[str, npt.ArrayLike | Coded] | None = None,
    apply: Callable[..., Iterable[Tally]] = map,
) -> WindowProfile:
    """Count a window's rows into the reference's bins. A feature that is not among `columns` is missing in every row.

    A million numbers take about 40 ms. `apply` may be the `map` of a thread pool: features are counted apart, mostly
    without the interpreter's lock. `cutting`: the columns that cut the rows into slices, None = those among `columns`.
    """
    rows = _common_length(columns)

    def count(known: FeatureReference) -> Tally:
        return tally_window(known.bins, known.ruler, _column(known, columns, rows))

    tallies = apply(count, reference.features.values())
    profiles = {name: _seen(known, one) for (name, known), one in zip(reference.features.items(), tallies, strict=True)}
    cutting = columns if cutting is None else cutting
    slices = {
        name: tuple(_profile_slices(reference, sliced, columns, cutting.get(name), rows))
        for name, sliced in reference.slices.items()
    }
    return WindowProfile(rows=rows, features=profiles, slices=slices)


def _profile_slices(
    reference: Reference,
    sliced: Sliced,
    columns: Mapping[str, npt.ArrayLike | Coded],
    cutting: npt.ArrayLike | Coded | None,
    rows: int,
) -> Iterator[WindowProfile]:
    """A profile for each slice; without the column that cuts all of them are empty."""
    many = len(sliced.slicer.levels)
    places = np.full(rows, NOWHERE) if cutting is None or not rows else sliced.slicer.places(cutting)
    # What is in no slice is counted behind the last.
    index = np.where(places == NOWHERE, many, places)
    known = [one for name, one in reference.features.items() if name in sliced.tallies]
    tallies = {one.name: tally_of(one.bins, one.ruler, _column(one, columns, rows), index, many + 1) for one in known}
    counted = np.bincount(index, minlength=many + 1)
    for place in range(many):
        found = {one.name: _seen(one, tallies[one.name].at(np.array([place]))) for one in known}
        yield WindowProfile(rows=int(counted[place]), features=found)


def _column(known: FeatureReference, columns: Mapping[str, npt.ArrayLike | Coded], rows: int) -> npt.ArrayLike | Coded:
    """A column that is not there is missing in every row."""
    column = columns.get(known.name)
    if column is not None:
        return column
    return Coded(codes=np.full(rows, -1), levels=()) if known.bins.kind == "category" else np.full(rows, np.nan)


def _seen(known: FeatureReference, tally: Tally) -> FeatureProfile:
    return FeatureProfile(name=known.name, bins=known.bins, ruler=known.ruler, tally=tally)


def merge(*profiles: WindowProfile) -> WindowProfile:
    """The profile of all rows together: equal to profiling them at once. All profiles must be of one reference."""
    first, *others = profiles
    features = dict(first.features)
    for profile in others:
        for name, more in profile.features.items():
            one = features[name]
            assert one.bins == more.bins, f"{name}: profiles of two references cannot be merged"
            features[name] = FeatureProfile(name=name, bins=one.bins, ruler=one.ruler, tally=one.tally + more.tally)
    slices = {
        name: tuple(merge(*parts) for parts in zip(*(profile.slices[name] for profile in profiles), strict=True))
        for name in first.slices
    }
    return WindowProfile(rows=sum(profile.rows for profile in profiles), features=features, slices=slices)


def _common_length(columns: Mapping[str, npt.ArrayLike | Coded]) -> int:
    lengths = {name: len(column) for name, column in columns.items()}  # type: ignore[arg-type]
    if len(set(lengths.values())) > 1:
        raise Mistake(f"columns differ in length: {lengths}; a profile needs one row per value")
    return next(iter(lengths.values()), 0)


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

"""What a version's training data looked like, per feature and block (day), and the same of a window of live rows.

The reference is fitted once and kept with the version; windows are counted into its frozen bins. Everything kept is a
count or an integer sum, so the profiles of parts add up to the profile of the whole, exactly, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from flyball.stats.bins import Bins
from flyball.stats.blocks import Cut
from flyball.stats.slices import Slicer
from flyball.stats.tally import Ints, Ruler, Tally

#: Names under which the model's own answers are profiled beside its features: its score; and its confidence, which is the
#: probability of the class it answers.
SCORE = "(score)"
CONFIDENCE = "(confidence)"


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

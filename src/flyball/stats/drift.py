"""Has the world moved? A window's profile against the reference's, with a stated rate of false alarms.

Per feature three statistics can alarm: psi over the bins (a change of shape), the location (a number's bent mean, which
has no ceiling: a June entirely above a winter's range alarms though its psi is at its end), and the share of missing
values. Each has the level false_alarms / (statistics that can alarm, over all features judged, of the whole and of every
slice), so that by Bonferroni all of them together raise a false alarm in at most that share of windows. An alarm needs
three things: the difference is beyond chance even if rows were independent (`tails`); it is beyond what the reference's own
days do, where there are enough of them (`null`, `quiet`); and it is large enough to matter. js_distance, chi_square, ks,
normed_wasserstein and l_infinity are reported with their limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from flyball.errors import Mistake
from flyball.stats.blocks import ANYWHERE, Place
from flyball.stats.changes import Statistic
from flyball.stats.feature import MIN_ROWS, Answer, FeatureVerdict, alarming_count, judge_feature
from flyball.stats.profile import CONFIDENCE, SCORE, FeatureReference, Reference, WindowProfile
from flyball.stats.slices import MIN_SLICE_ROWS

__all__ = ["Answer", "DriftVerdict", "FeatureVerdict", "SliceVerdict", "Statistic", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceVerdict:
    """One slice of a window, judged against the same slice of the reference."""

    #: "origin=JFK"; a column alone, "origin", where none of its slices can be judged.
    slice: str
    verdict: Answer
    rows: int
    #: how many features are steady, and those that alarm. Of the rest nothing can be said.
    steady: int
    features: tuple[FeatureVerdict, ...]
    why: str

    @property
    def alarming(self) -> tuple[str, ...]:
        """Names of the features that alarm, strongest first."""
        return tuple(one.feature for one in self.features)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftVerdict:
    """A window, judged."""

    verdict: Answer
    rows: int
    #: stated share of quiet windows that alarm, over all features together; and each statistic's part of it.
    false_alarms: float
    level: float
    features: tuple[FeatureVerdict, ...]
    #: names of the features that alarm, strongest first.
    alarming: tuple[str, ...]
    #: features that are shown and cannot alarm.
    reported: tuple[FeatureVerdict, ...] = ()
    slices: tuple[SliceVerdict, ...] = ()
    #: "origin=JFK: temp" for each feature that alarms in a slice, strongest first.
    alarming_in_slices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """By name, one level deep: orjson writes the records within, and copying them takes longer than that."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def judge(
    reference: Reference,
    window: WindowProfile,
    *,
    false_alarms: float,
    features: Iterable[str] | None = None,
    slices: Iterable[str] = (),
    place: Place = ANYWHERE,
) -> DriftVerdict:
    """Judge a window. `false_alarms` in (0, 1): alarms per quiet window; `features`: which may alarm, None = all; `slices`:
    columns whose slices are judged one by one; `place`: where the window lies among the reference's blocks.

    Drift if any feature drifts, of the whole or of a slice; steady if at least one of the whole could be judged and none
    drifts; else cannot_judge. A confidence that is a function of the score is reported.
    """
    if not 0 < false_alarms < 1:
        raise Mistake(
            f"false_alarms is {false_alarms!r}; allowed: between 0 and 1, for example 0.01 for 1 window in 100"
        )
    names = tuple(reference.features) if features is None else tuple(features)
    unknown = [name for name in names if name not in reference.features]
    if unknown:
        raise Mistake(f"feature {unknown[0]!r} is not in the reference; it has: {', '.join(reference.features)}")
    shown = tuple(name for name in names if name == CONFIDENCE and SCORE in reference.features)
    names = tuple(name for name in names if name not in shown)
    parts = tuple(_parts(reference, window, names, slices))
    counted = [reference.features[name] for name in names] + [one for part in parts for one in part.known]
    level = false_alarms / max(sum(alarming_count(one) for one in counted), 1)

    def judged(name: str, *, reported: bool = False) -> FeatureVerdict:
        return judge_feature(reference.features[name], window.features[name], level, place, reported=reported)

    whole = tuple(judged(name) for name in names)
    by_slice = tuple(_judge_slice(part, level, place) for part in parts)
    drifted = sorted((one for one in whole if one.verdict == "drift"), key=_strongest, reverse=True)
    inside = [(part.slice, one) for part in by_slice for one in part.features]
    inside.sort(key=lambda item: _strongest(item[1]), reverse=True)
    steady = any(one.verdict == "steady" for one in whole)
    return DriftVerdict(
        verdict="drift" if drifted or inside else "steady" if steady else "cannot_judge",
        rows=window.rows,
        false_alarms=false_alarms,
        level=level,
        features=whole,
        alarming=tuple(one.feature for one in drifted),
        reported=tuple(judged(name, reported=True) for name in shown),
        slices=by_slice,
        alarming_in_slices=tuple(f"{name}: {one.feature}" for name, one in inside),
    )


def _strongest(verdict: FeatureVerdict) -> float:
    return max(statistic.strength for statistic in verdict.statistics.values() if statistic.alarm)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One slice of the reference and of the window."""

    slice: str
    known: tuple[FeatureReference, ...]
    seen: WindowProfile | None
    why: str = ""


def _parts(
    reference: Reference, window: WindowProfile, names: tuple[str, ...], columns: Iterable[str]
) -> Iterator[_Part]:
    """Every slice of the columns; one part without features for a column that has none."""
    for column in columns:
        sliced = reference.slices.get(column)
        if sliced is None:
            why = f"the version's reference keeps no slices of {column}; the next version's will"
            if column not in reference.features:
                why = f"{column} is no feature of the version"
            yield _Part(slice=column, known=(), seen=None, why=why)
        elif column not in window.slices:
            why = f"the journal does not keep {column}" if window.rows else "no rows"
            yield _Part(slice=column, known=(), seen=None, why=why)
        elif not sliced.slicer.levels:
            why = f"no slice of {column} has {MIN_SLICE_ROWS} rows in the reference"
            yield _Part(slice=column, known=(), seen=None, why=why)
        else:
            for place, name in enumerate(sliced.slicer.names()):
                known = sliced.part(place, reference.features)
                kept = tuple(known[feature] for feature in names if feature in known)
                yield _Part(slice=name, known=kept, seen=window.slices[column][place])


def _judge_slice(part: _Part, level: float, place: Place) -> SliceVerdict:
    if part.seen is None:
        return SliceVerdict(slice=part.slice, verdict="cannot_judge", rows=0, steady=0, features=(), why=part.why)
    judged = [judge_feature(known, part.seen.features[known.name], level, place) for known in part.known]
    drifted = tuple(sorted((one for one in judged if one.verdict == "drift"), key=_strongest, reverse=True))
    steady = sum(one.verdict == "steady" for one in judged)
    why = "; ".join(f"{one.feature} {one.why}" for one in drifted)
    if not drifted:
        why = "within its quiet days" if steady else f"{part.seen.rows} rows; at least {MIN_ROWS} are needed"
    return SliceVerdict(
        slice=part.slice,
        verdict="drift" if drifted else "steady" if steady else "cannot_judge",
        rows=part.seen.rows,
        steady=steady,
        features=drifted,
        why=why,
    )

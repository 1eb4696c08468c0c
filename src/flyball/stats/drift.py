"""Has the world moved? A window's profile against the reference's, with a stated rate of false alarms.

Per feature three statistics can alarm: psi over the bins (a change of shape), the location (a number's bent mean, which
has no ceiling: a June entirely above a winter's range alarms though its psi is at its end), and the share of missing
values. Each is held against its limit on quiet days (`null`) at level false_alarms / (statistics that can alarm, over all
features judged), so that by Bonferroni all of them together raise a false alarm in at most that share of windows; and an
alarm must also be large enough to matter. js_distance, ks and l_infinity are reported with their limits for the reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from flyball.errors import Mistake
from flyball.stats.null import (
    DISTANCES,
    Limit,
    arcsine,
    day_limit,
    distance_limit,
    iid_distance_limit,
    iid_limit,
)
from flyball.stats.profile import FeatureProfile, FeatureReference, Reference, WindowProfile
from flyball.stats.tally import STEPS, Ints, Tally

Answer = Literal["steady", "drift", "cannot_judge"]

#: Fewer rows with a value than this in the window, and the feature's values cannot be judged.
MIN_ROWS = 50
#: Fewer days than this, and rows are taken as independent ("iid").
MIN_BLOCKS = 10
#: A day with fewer rows than this, or than this share of the median day's, is no sample of a day.
MIN_BLOCK_ROWS = 10
MIN_BLOCK_SHARE = 0.25

#: The smallest effects that matter. psi: the rule of thumb for 'some change' (numbers).
MIN_PSI = 0.1
#: A number's location, in the reference's standard deviations: Cohen's 'small' effect.
MIN_SHIFT = 0.2
#: A share of rows: of one level or other bin of a category, or of missing values.
MIN_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One statistic of one feature. `location` is a z-score; all others are on their natural scale, in [0, ...)."""

    value: float
    #: what a quiet window exceeds (location: in absolute value) with the probability of one false alarm's share.
    threshold: float
    #: mean over quiet windows.
    null_mean: float
    #: how large the effect is where that is another thing than `value`: location's shift in sd, psi's largest share change.
    effect: float
    #: above its threshold and large enough to matter; always False for statistics that are only reported.
    alarm: bool
    #: distance from the null's mean in units of the threshold's: over 1 is beyond it.
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureVerdict:
    """One feature, judged."""

    feature: str
    verdict: Answer
    #: psi, js_distance, missing; ks and location for numbers; l_infinity for categories.
    statistics: Mapping[str, Statistic]
    #: what quiet was learned from: the reference's days, or theory for independent rows.
    null: Literal["blocks", "iid"]
    why: str


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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    reference: Reference, window: WindowProfile, *, false_alarms: float, features: Iterable[str] | None = None
) -> DriftVerdict:
    """Judge a window. `false_alarms` in (0, 1): alarms per quiet window; `features`: which may alarm, None = all.

    Drift if any feature drifts; steady if at least one could be judged and none drifts; else cannot_judge.
    """
    if not 0 < false_alarms < 1:
        raise Mistake(
            f"false_alarms is {false_alarms!r}; allowed: between 0 and 1, for example 0.01 for 1 window in 100"
        )
    names = tuple(reference.features) if features is None else tuple(features)
    unknown = [name for name in names if name not in reference.features]
    if unknown:
        raise Mistake(f"feature {unknown[0]!r} is not in the reference; it has: {', '.join(reference.features)}")
    level = false_alarms / max(sum(_alarming_count(reference.features[name]) for name in names), 1)
    verdicts = tuple(_judge_feature(reference.features[name], window.features[name], level) for name in names)
    drifted = sorted((v for v in verdicts if v.verdict == "drift"), key=_strongest, reverse=True)
    judged = any(verdict.verdict == "steady" for verdict in verdicts)
    return DriftVerdict(
        verdict="drift" if drifted else "steady" if judged else "cannot_judge",
        rows=window.rows,
        false_alarms=false_alarms,
        level=level,
        features=verdicts,
        alarming=tuple(verdict.feature for verdict in drifted),
    )


def _alarming_count(known: FeatureReference) -> int:
    """psi, missing, and for numbers location."""
    return 3 if known.bins.kind == "number" else 2


def _strongest(verdict: FeatureVerdict) -> float:
    return max(statistic.strength for statistic in verdict.statistics.values() if statistic.alarm)


def _judge_feature(known: FeatureReference, seen: FeatureProfile, level: float) -> FeatureVerdict:
    days = _days(known.tally, known.tally.rows)
    null: Literal["blocks", "iid"] = "iid" if days is None else "blocks"
    statistics: dict[str, Statistic] = {}
    if seen.n + seen.missing >= MIN_ROWS:
        everyone = _days(known.tally, known.tally.rows + known.tally.missing)
        statistics["missing"] = _missing(known, seen, everyone, level)
    judged = seen.n >= MIN_ROWS and known.tally.rows.sum() > 0
    if judged:
        methods = ("psi", "js_distance", "ks" if known.bins.kind == "number" else "l_infinity")
        statistics |= {method: _distance(method, known, seen, days, level) for method in methods}
        if known.bins.kind == "number":
            statistics["location"] = _location(known, seen, days, level)
    alarms = {name: statistic for name, statistic in statistics.items() if statistic.alarm}
    verdict: Answer = "drift" if alarms else "steady" if judged else "cannot_judge"
    why = _why(known, seen, alarms, judged=judged)
    return FeatureVerdict(feature=known.name, verdict=verdict, statistics=statistics, null=null, why=why)


def _days(tally: Tally, size: Ints) -> Tally | None:
    """The reference's days that can serve as samples by their `size` in rows, None if they are too few."""
    rows = size[1:]
    if len(rows) == 0:
        return None
    usable = np.flatnonzero(rows >= max(MIN_BLOCK_ROWS, MIN_BLOCK_SHARE * np.median(rows))) + 1
    if len(usable) < MIN_BLOCKS:
        return None
    return Tally(
        counts=tally.counts[usable],
        missing=tally.missing[usable],
        deviations=tally.deviations[usable],
        bends=tally.bends[usable],
    )


def _distance(
    method: str, known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float
) -> Statistic:
    total = known.tally.total().counts[0]
    value = float(DISTANCES[method](seen.counts, total))
    limit = (
        iid_distance_limit(method, value, seen.counts, total, level)
        if days is None
        else distance_limit(method, value, seen.counts, days.counts, total, level)
    )
    if known.bins.kind == "category":
        effect, least = float(DISTANCES["l_infinity"](seen.counts, total)), MIN_SHARE
    else:
        effect, least = value, MIN_PSI
    alarm = method == "psi" and value > limit.threshold and effect >= least
    return _statistic(value, limit, effect, alarm=alarm)


def _location(known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float) -> Statistic:
    """z of the window's bent mean among the days' bent means."""
    variance, total = known.ruler.bent_sd**2, known.tally.total()
    overall = total.bends[0] / STEPS / total.rows[0]
    value = seen.tally.bends[0] / STEPS / seen.n
    if days is None:
        middle, sd, reach = iid_limit(overall, variance / total.rows[0], variance / seen.n, level)
    else:
        middle, sd, reach = day_limit(
            days.bends / STEPS / days.rows, variance / days.rows, value, variance / seen.n, level
        )
    z = float(np.clip((value - middle) / max(sd, 1 / STEPS), -1e6, 1e6))
    shift = float(np.clip((value - overall) / max(known.ruler.bent_sd, 1 / STEPS), -1e6, 1e6))
    limit = Limit(mean=0.0, threshold=reach, strength=abs(z) / reach)
    return _statistic(z, limit, shift, alarm=abs(z) > reach and abs(shift) >= MIN_SHIFT)


def _missing(known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float) -> Statistic:
    """The share of missing values against the days' shares; fewer than usual alarm too."""
    rows, total = seen.n + seen.missing, known.tally.total()
    everything = total.rows[0] + total.missing[0]
    value, usual, point = seen.missing / rows, total.missing[0] / everything, float(arcsine(seen.missing, rows))
    if days is None:
        centre = float(arcsine(total.missing[0], everything))
        middle, sd, reach = iid_limit(centre, 1 / (4 * everything), 1 / (4 * rows), level)
    else:
        size = days.rows + days.missing
        middle, sd, reach = day_limit(arcsine(days.missing, size), 1 / (4 * size), point, 1 / (4 * rows), level)
    apart = point - middle
    alarm = abs(apart) > reach * sd and abs(value - usual) >= MIN_SHARE
    # The upper limit is shown, but for an alarm that crossed the lower one.
    edge = np.clip(middle + (-reach if alarm and apart < 0 else reach) * sd, 0, np.pi / 2)
    limit = Limit(mean=float(usual), threshold=float(np.sin(edge) ** 2), strength=abs(apart) / (reach * sd))
    return _statistic(value, limit, value - usual, alarm=alarm)


def _statistic(value: float, limit: Limit, effect: float, *, alarm: bool) -> Statistic:
    return Statistic(
        value=value,
        threshold=limit.threshold,
        null_mean=limit.mean,
        effect=float(effect),
        alarm=bool(alarm),
        strength=limit.strength,
    )


def _why(known: FeatureReference, seen: FeatureProfile, alarms: Mapping[str, Statistic], *, judged: bool) -> str:
    if not alarms and not judged:
        if known.tally.rows.sum() == 0:
            return "the reference has no values"
        return f"{seen.n} rows with a value; at least {MIN_ROWS} are needed"
    told = [_told(name, alarms[name]) for name in sorted(alarms, key=lambda name: -alarms[name].strength)]
    if known.bins.kind == "category" and alarms and seen.unseen:
        told.append(f"{seen.unseen} rows with an unseen level")
    if known.bins.kind == "number" and alarms and seen.below + seen.above:
        told.append(f"{seen.below} rows below and {seen.above} above the reference's range")
    return "; ".join(told) or "within its quiet days"


def _told(name: str, statistic: Statistic) -> str:
    if name == "missing":
        return f"missing in {statistic.value:.1%} of rows, usually {statistic.null_mean:.1%}"
    if name == "location":
        return f"shifted by {statistic.effect:+.2f} sd (z {statistic.value:+.1f}, limit {statistic.threshold:.1f})"
    return f"{name} {statistic.value:.3f}, limit {statistic.threshold:.3f}"

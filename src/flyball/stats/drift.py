"""Has the world moved? A window's profile against the reference's, with a stated rate of false alarms.

Per feature three statistics can alarm: psi over the bins (a change of shape), the location (a number's bent mean, which
has no ceiling: a June entirely above a winter's range alarms though its psi is at its end), and the share of missing
values. Each has the level false_alarms / (statistics that can alarm, over all features judged), so that by Bonferroni all
of them together raise a false alarm in at most that share of windows. An alarm needs three things: the difference is
beyond chance even if rows were independent (`tails`); it is beyond what the reference's own days do, where there are
enough of them (`null`); and it is large enough to matter. js_distance, ks and l_infinity are reported with their limits.
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
    iid_mean,
    spread,
)
from flyball.stats.profile import FeatureProfile, FeatureReference, Reference, WindowProfile
from flyball.stats.tails import g_test, location_root, root_limit, share_limits
from flyball.stats.tally import STEPS, Ints, Tally

Answer = Literal["steady", "drift", "cannot_judge"]

#: Fewer rows with a value than this in the window, and the feature's values cannot be judged.
MIN_ROWS = 50
#: Fewer days than this, and rows are taken as independent ("iid").
MIN_BLOCKS = 10
#: A day with fewer rows than this, or than this share of the median day's, is no sample of a day.
MIN_BLOCK_ROWS = 10
MIN_BLOCK_SHARE = 0.25

#: The smallest effects that matter. A number's location, in the reference's standard deviations.
MIN_SHIFT = 0.05
#: A share of rows of a number that moved across a border or into a bin: what a shift of MIN_SHIFT does to a normal.
MIN_MOVED = 0.02
#: A share of rows: of one level or other bin of a category, or of missing values.
MIN_SHARE = 0.01

#: Standard errors of a 95 % interval.
TWO_SIDED = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One statistic of one feature. `location` is a z-score; all others are on their natural scale, in [0, ...)."""

    value: float
    #: what a quiet window exceeds (location: in absolute value) with the probability of one false alarm's share.
    threshold: float
    #: mean over quiet windows: what `value` is by chance alone.
    null_mean: float
    #: how large the change is. location: shift in sd; missing: change of the share; psi: the largest share of rows that
    #: moved; the others: the distance itself with what chance adds to it taken off.
    effect: float
    #: 95 % interval of `effect`.
    effect_low: float
    effect_high: float
    #: beyond chance, beyond quiet days and large enough to matter; always False for statistics that are only reported.
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
        statistics["psi"] = _shape(known, seen, days, level)
        reported = ("js_distance", "ks" if known.bins.kind == "number" else "l_infinity")
        statistics |= {method: _reported(method, known, seen, days, level) for method in reported}
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


def _shape(known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float) -> Statistic:
    """psi, held against the days' and against the G-test of the same counts."""
    total, number = known.tally.total().counts[0], known.bins.kind == "number"
    value = float(DISTANCES["psi"](seen.counts, total))
    by_chance = iid_mean("psi", seen.n, total)
    if days is not None:
        limit = distance_limit("psi", value, seen.counts, days.counts, total, level)
    if days is None or value > limit.threshold:
        g, g_limit = g_test(_told_apart(known, seen.counts), _told_apart(known, total), level, ordered=number)
        beyond = g > g_limit
    else:
        beyond = False
    if days is None:
        # psi is about (1/n + 1/N) G: its limit is where G would be at its own.
        limit = Limit(
            mean=by_chance, threshold=value * g_limit / g if g > 0 else g_limit / seen.n, strength=g / g_limit
        )
    moved, share = _moved(_told_apart(known, seen.counts), _told_apart(known, total), ordered=number)
    # Days that differ by more than chance make the size as much less certain.
    noise = max(limit.mean / by_chance, 1) * share * (1 - share) * (1 / seen.n + 1 / total.sum())
    reach = TWO_SIDED * float(np.sqrt(noise))
    least = MIN_MOVED if number else MIN_SHARE
    alarm = beyond and moved >= least
    return _statistic(value, limit, moved, (max(moved - reach, 0.0), min(moved + reach, 1.0)), alarm=alarm)


def _told_apart(known: FeatureReference, counts: Ints) -> Ints:
    """The bins a test may tell apart. Where levels are many, some that a sample has not seen turn up by chance in the next,
    and the reference never has any of them: unseen and other are one.
    """
    if known.bins.kind == "category" and known.bins.others != ():
        return np.append(counts[:-2], counts[-2] + counts[-1])
    return counts


def _moved(window: Ints, total: Ints, *, ordered: bool) -> tuple[float, float]:
    """The largest change of a bin's share, or of the share up to a border where bins are `ordered`; and that share."""
    now, then = window / window.sum(), total / total.sum()
    if ordered:
        now, then = np.concatenate([now, np.cumsum(now)]), np.concatenate([then, np.cumsum(then)])
    place = int(np.abs(now - then).argmax())
    return float(abs(now[place] - then[place])), float(np.clip((now[place] + then[place]) / 2, 0, 1))


def _reported(
    method: str, known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float
) -> Statistic:
    """A distance that goes as the root of psi, with its limit; never an alarm."""
    total = known.tally.total().counts[0]
    value = float(DISTANCES[method](seen.counts, total))
    limit = (
        iid_distance_limit(method, value, seen.counts, total, level)
        if days is None
        else distance_limit(method, value, seen.counts, days.counts, total, level)
    )
    reach = TWO_SIDED * spread(method, limit.mean, total)
    corrected, low = _above(value, limit.mean), _above(max(value - reach, 0), limit.mean)
    return _statistic(value, limit, corrected, (low, min(value + reach, 1.0)), alarm=False)


def _above(value: float, chance: float) -> float:
    """Distances of this kind add up in squares."""
    return float(np.sqrt(max(value**2 - chance**2, 0)))


def _location(known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float) -> Statistic:
    """z of the window's bent mean among the days' bent means; without days, the root of its ranks among the rows."""
    variance, total = known.ruler.bent_sd**2, known.tally.total()
    overall = total.bends[0] / STEPS / total.rows[0]
    value = seen.tally.bends[0] / STEPS / seen.n
    if days is None:
        sd = float(np.sqrt(variance / total.rows[0] + variance / seen.n))
        z, reach = location_root(seen.counts, total.counts[0]), root_limit(level)
    else:
        middle, sd, reach = day_limit(
            days.bends / STEPS / days.rows, variance / days.rows, value, variance / seen.n, level
        )
        z = float(np.clip((value - middle) / max(sd, 1 / STEPS), -1e6, 1e6))
    unit = max(known.ruler.bent_sd, 1 / STEPS)
    shift, error = (float(np.clip(part / unit, -1e6, 1e6)) for part in (value - overall, TWO_SIDED * sd))
    limit = Limit(mean=0.0, threshold=reach, strength=abs(z) / reach)
    alarm = abs(z) > reach and abs(shift) >= MIN_SHIFT
    if alarm and days is not None:
        alarm = abs(location_root(seen.counts, total.counts[0])) > root_limit(level)
    return _statistic(z, limit, shift, (shift - error, shift + error), alarm=alarm)


def _missing(known: FeatureReference, seen: FeatureProfile, days: Tally | None, level: float) -> Statistic:
    """The share of missing values against the days' shares and by Fisher's exact test; fewer than usual alarm too."""
    rows, total = seen.n + seen.missing, known.tally.total()
    missing, everything = int(total.missing[0]), int(total.rows[0] + total.missing[0])
    value, usual, point = seen.missing / rows, missing / max(everything, 1), float(arcsine(seen.missing, rows))
    low, high = share_limits(seen.missing, rows, missing, everything, level)
    beyond = seen.missing <= low or seen.missing >= high
    if days is None:
        sd = float(np.sqrt(1 / (4 * everything) + 1 / (4 * rows)))
        edges = (low / rows, high / rows)
        strength = (seen.missing - usual * rows) / max(high - usual * rows, 1e-9)
        if value < usual:
            strength = (usual * rows - seen.missing) / max(usual * rows - low, 1e-9)
    else:
        size = days.rows + days.missing
        middle, sd, reach = day_limit(arcsine(days.missing, size), 1 / (4 * size), point, 1 / (4 * rows), level)
        strength = abs(point - middle) / (reach * sd)
        beyond = beyond and strength > 1
        edges = (_share(middle - reach * sd), _share(middle + reach * sd))
    alarm = beyond and abs(value - usual) >= MIN_SHARE
    # The upper limit is shown, but for an alarm that crossed the lower one.
    edge = float(np.clip(edges[0] if alarm and value < usual else edges[1], 0, 1))
    limit = Limit(mean=float(usual), threshold=edge, strength=float(min(max(strength, 0.0), 1e6)))
    interval = (_share(point - TWO_SIDED * sd) - usual, _share(point + TWO_SIDED * sd) - usual)
    return _statistic(value, limit, value - usual, interval, alarm=alarm)


def _share(root: float) -> float:
    """The share whose arcsine root this is."""
    return float(np.sin(np.clip(root, 0, np.pi / 2)) ** 2)


def _statistic(value: float, limit: Limit, effect: float, interval: tuple[float, float], *, alarm: bool) -> Statistic:
    return Statistic(
        value=value,
        threshold=limit.threshold,
        null_mean=limit.mean,
        effect=float(effect),
        effect_low=float(interval[0]),
        effect_high=float(interval[1]),
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
    between = f"{statistic.effect_low:+.2f} to {statistic.effect_high:+.2f}"
    if name == "location":
        return f"shifted by {statistic.effect:+.2f} sd ({between}; z {statistic.value:+.1f}, limit {statistic.threshold:.1f})"
    return f"{name} {statistic.value:.3f}, limit {statistic.threshold:.3f}; {statistic.effect:.1%} of rows moved"

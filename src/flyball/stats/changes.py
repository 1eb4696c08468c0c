"""The statistics of one feature: how far it is from what it is held against, where quiet ends, how large the change is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flyball.stats import measures
from flyball.stats.apart import Distance, distances_of
from flyball.stats.null import (
    Limit,
    Spread,
    arcsine,
    day_limit,
    harmonic,
    spread_of,
)
from flyball.stats.profile import FeatureProfile, FeatureReference
from flyball.stats.quiet import REMEMBERED, Days, Quiet, centred
from flyball.stats.tails import g_test, location_root, root_limit, share_limits
from flyball.stats.tally import STEPS, Ints

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
    #: moved; chi_square: Cramér's V; the others: the distance itself. Of these two what chance adds is taken off.
    effect: float
    #: 95 % interval of `effect`.
    effect_low: float
    effect_high: float
    #: beyond chance, beyond quiet days and large enough to matter; always False for statistics that are only reported.
    alarm: bool
    #: distance from the null's mean in units of the threshold's: over 1 is beyond it.
    strength: float


def of_values(known: FeatureReference, seen: FeatureProfile, quiet: Quiet, level: float) -> dict[str, Statistic]:
    """All statistics but that of missing values."""
    category = known.bins.kind == "category"
    asked = {"psi": measures.PSI, "js_distance": measures.JS_DISTANCE, "chi_square": measures.CHI_SQUARE}
    if category:
        asked |= {"l_infinity": measures.L_INFINITY}
    else:
        asked |= {"ks": measures.KS, "normed_wasserstein": measures.wasserstein(known.bins, known.ruler.sd)}
    distances = distances_of(asked, known, seen, quiet, level)
    found = {
        "psi": _shape(known, seen, quiet, level, distances["psi"]),
        "js_distance": _reported(distances["js_distance"]),
        "chi_square": _chi_square(distances["chi_square"]),
    }
    if category:
        return found | {"l_infinity": _reported(distances["l_infinity"])}
    return found | {
        "ks": _reported(distances["ks"]),
        "normed_wasserstein": _reported(distances["normed_wasserstein"], most=np.inf),
        "location": _location(known, seen, quiet, level),
    }


def _shape(known: FeatureReference, seen: FeatureProfile, quiet: Quiet, level: float, found: Distance) -> Statistic:
    """psi, held against the days' and against the G-test of the same counts."""
    total, number = quiet.total.counts[0], known.bins.kind == "number"
    value, limit = found.value, found.limit
    both = harmonic(seen.n, total.sum())
    by_chance = measures.PSI.noise(total) / float(both)
    told_apart = _told_apart(known, seen.counts), _told_apart(known, total)
    beyond = quiet.days is None or value > limit.threshold
    if beyond:
        g, g_limit = g_test(*told_apart, level, ordered=number)
        beyond = g > g_limit
    if quiet.days is None:
        # psi is about (1/n + 1/N) G: its limit is where G would be at its own.
        limit = Limit(
            mean=by_chance, threshold=value * g_limit / g if g > 0 else g_limit / seen.n, strength=g / g_limit
        )
    moved, share = _moved(*told_apart, ordered=number)
    # Days that differ by more than chance make the size as much less certain.
    noise = max(limit.mean / by_chance, 1) * share * (1 - share) / float(both)
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


def _reported(found: Distance, *, most: float = 1.0) -> Statistic:
    """A distance that goes as the root of psi, with its limit; never an alarm. `most`: the largest there is."""
    value, limit = found.value, found.limit
    reach = TWO_SIDED * found.measure.spread(found.total) * limit.mean
    corrected, low = _above(value, limit.mean), _above(max(value - reach, 0), limit.mean)
    return _statistic(value, limit, corrected, (low, min(value + reach, most)), alarm=False)


def _chi_square(found: Distance) -> Statistic:
    """Pearson's, of the counts, sparse bins pooled; its limit is that of chi-square a row, and its effect Cramér's V, in
    [0, 1].
    """
    window, total = found.window, found.total
    rows, both = float(window.sum() + total.sum()), float(harmonic(window.sum(), total.sum()))
    limit = Limit(mean=found.limit.mean * both, threshold=found.limit.threshold * both, strength=found.limit.strength)
    # The root of a chi-square, central or not, has a standard deviation of at most 1.
    value, root = found.value * both, float(np.sqrt(found.value * both))
    low, high = max(root - TWO_SIDED, 0) ** 2, (root + TWO_SIDED) ** 2
    effect, least = (float(np.sqrt(max(one - limit.mean, 0) / rows)) for one in (value, low))
    return _statistic(value, limit, effect, (least, min(float(np.sqrt(high / rows)), 1.0)), alarm=False)


def _above(value: float, chance: float) -> float:
    """Distances of this kind add up in squares."""
    return float(np.sqrt(max(value**2 - chance**2, 0)))


def _location(known: FeatureReference, seen: FeatureProfile, quiet: Quiet, level: float) -> Statistic:
    """z of the window's bent mean among the days' bent means; without days, the root of its ranks among the rows."""
    variance, total = known.ruler.bent_sd**2, quiet.total
    overall = total.bends[0] / STEPS / total.rows[0]
    value = seen.tally.bends[0] / STEPS / seen.n
    if quiet.days is None:
        sd = float(np.sqrt(variance / total.rows[0] + variance / seen.n))
        z, reach = location_root(seen.counts, total.counts[0]), root_limit(level)
    else:
        spread, centre = _spread_of_means(quiet.days, quiet.weekday, variance, level)
        middle, sd, reach = day_limit(spread, value - centre, variance / seen.n)
        z = float(np.clip((value - centre - middle) / max(sd, 1 / STEPS), -1e6, 1e6))
    unit = max(known.ruler.bent_sd, 1 / STEPS)
    shift, error = (float(np.clip(part / unit, -1e6, 1e6)) for part in (value - overall, TWO_SIDED * sd))
    limit = Limit(mean=0.0, threshold=reach, strength=abs(z) / reach)
    alarm = abs(z) > reach and abs(shift) >= MIN_SHIFT
    if alarm and quiet.days is not None:
        alarm = abs(location_root(seen.counts, total.counts[0])) > root_limit(level)
    return _statistic(z, limit, shift, (shift - error, shift + error), alarm=alarm)


@lru_cache(maxsize=REMEMBERED)
def _spread_of_means(days: Days, weekday: int | None, variance: float, level: float) -> tuple[Spread, float]:
    """Of the days' bent means, and what is to be taken off the window's. `variance`: of one row."""
    rows = days.tally.rows
    means, noise, centre = centred(days.tally.bends / STEPS / rows, variance / rows, days, weekday)
    return spread_of(means, noise, level), centre


@lru_cache(maxsize=REMEMBERED)
def _spread_of_shares(days: Days, weekday: int | None, level: float) -> tuple[Spread, float]:
    """Of the days' shares of missing values, as arcsine roots, and what is to be taken off the window's."""
    size = days.tally.rows + days.tally.missing
    roots, noise, centre = centred(arcsine(days.tally.missing, size), 1 / (4 * size), days, weekday)
    return spread_of(roots, noise, level), centre


def of_missing(seen: FeatureProfile, quiet: Quiet, level: float) -> Statistic:
    """The share of missing values against the days' shares and by Fisher's exact test; fewer than usual alarm too."""
    rows, total = seen.n + seen.missing, quiet.total
    missing, everything = int(total.missing[0]), int(total.rows[0] + total.missing[0])
    value, usual, point = seen.missing / rows, missing / max(everything, 1), float(arcsine(seen.missing, rows))
    low, high = share_limits(seen.missing, rows, missing, everything, level)
    beyond = seen.missing <= low or seen.missing >= high
    if quiet.days is None:
        sd = float(np.sqrt(1 / (4 * everything) + 1 / (4 * rows)))
        edges = (low / rows, high / rows)
        strong = (seen.missing - usual * rows) / max(high - usual * rows, 1e-9)
        if value < usual:
            strong = (usual * rows - seen.missing) / max(usual * rows - low, 1e-9)
    else:
        spread, centre = _spread_of_shares(quiet.days, quiet.weekday, level)
        middle, sd, reach = day_limit(spread, point - centre, 1 / (4 * rows))
        middle += centre
        strong = abs(point - middle) / (reach * sd)
        beyond = beyond and strong > 1
        edges = (_share(middle - reach * sd), _share(middle + reach * sd))
    alarm = beyond and abs(value - usual) >= MIN_SHARE
    # The upper limit is shown, but for an alarm that crossed the lower one.
    edge = float(np.clip(edges[0] if alarm and value < usual else edges[1], 0, 1))
    limit = Limit(mean=float(usual), threshold=edge, strength=float(min(max(strong, 0.0), 1e6)))
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

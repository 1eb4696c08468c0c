"""The distances of one feature's window from what it is held against, each with where quiet ends. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flyball.stats import measures
from flyball.stats.measures import Measure
from flyball.stats.null import Limit, Sample, distance_limits, harmonic, sample_of, strength
from flyball.stats.profile import FeatureProfile, FeatureReference
from flyball.stats.quiet import REMEMBERED, Days, Quiet
from flyball.stats.tails import pooled, pools
from flyball.stats.tally import Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distance:
    """One distance between the window's counts and those it is held against."""

    measure: Measure
    value: float
    window: Ints
    total: Ints
    limit: Limit


def distances_of(
    asked: Mapping[str, Measure], known: FeatureReference, seen: FeatureProfile, quiet: Quiet, level: float
) -> dict[str, Distance]:
    """Each with its limit: by the days, or without them for independent rows."""
    whole = (seen.counts, quiet.total.counts[0])
    pool = pools(np.stack(whole), ordered=known.bins.kind == "number")
    # Chi-square takes no sparse bins.
    counts = {name: tuple(pooled(one, *pool) for one in whole) if name == "chi_square" else whole for name in asked}
    values = {name: float(measure.between(*counts[name])) for name, measure in asked.items()}
    if quiet.days is None:
        limits = {name: _independent(asked[name], value, counts[name], level) for name, value in values.items()}
    else:
        days = quiet.days
        samples = [
            _pooled_sample(days, pool[0].tobytes(), pool[1].tobytes())
            if name == "chi_square"
            else _sample(asked[name], days)
            for name in asked
        ]
        found = distance_limits(
            list(asked.values()),
            np.array(list(values.values())),
            samples,
            float(harmonic(whole[0].sum(), whole[1].sum())),
            np.array([measure.noise(counts[name][1]) for name, measure in asked.items()]),
            level,
            whole[1],
        )
        limits = dict(zip(asked, found, strict=True))
    return {
        name: Distance(
            measure=asked[name], value=values[name], window=counts[name][0], total=counts[name][1], limit=limits[name]
        )
        for name in asked
    }


@lru_cache(maxsize=REMEMBERED)
def _sample(measure: Measure, days: Days) -> Sample:
    return sample_of(measure, days.tally.counts, days.rests.counts)


@lru_cache(maxsize=REMEMBERED)
def _pooled_sample(days: Days, order: bytes, starts: bytes) -> Sample:
    """Of chi-square. The pools are the arrays of `pools`, as bytes."""
    pool = (np.frombuffer(order, dtype=np.int64), np.frombuffer(starts, dtype=np.int64))
    return sample_of(measures.CHI_SQUARE, *(pooled(one.counts, *pool) for one in (days.tally, days.rests)))


def _independent(measure: Measure, value: float, counts: tuple[Ints, ...], level: float) -> Limit:
    if measure.iid is None:  # psi's: see `_shape`
        return Limit(mean=0.0, threshold=0.0, strength=0.0)
    window, total = counts
    size = max(int(((window + total) > 0).sum()), 2)
    mean, threshold = measure.iid(1 / float(harmonic(window.sum(), total.sum())), size, total, level)
    return Limit(mean=mean, threshold=threshold, strength=strength(value - mean, threshold - mean))

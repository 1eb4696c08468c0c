"""Quiet worlds whose truth is known: references and windows of standard normal features, real or drawn as bin counts.

A feature's window is drawn as counts in fixed bins of equal probability (multinomial), and the sum of its bent values
from the normal law that this sum has given the counts. That costs as much for 100,000 rows as for 50.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from flyball.stats.bins import MAX_BINS, Bins
from flyball.stats.profile import FeatureProfile, FeatureReference, Reference, WindowProfile
from flyball.stats.tally import STEPS, Ints, Ruler, Tally

Floats = npt.NDArray[np.float64]
RNG = np.random.Generator

#: Beyond these a normal of a few million rows has no value.
END = 5.2
BINS = Bins(kind="number", edges=(-END, *ndtri(np.arange(1, MAX_BINS) / MAX_BINS).tolist(), END))


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a standard normal's rows are in BINS: shares of the bins, and mean and variance of bent values within each."""

    share: Floats
    mean: Floats
    variance: Floats


def ruler() -> Ruler:
    """Of the standard normal."""
    spread = float(ndtri(0.75) - ndtri(0.25))
    straight = Ruler(mean=0.0, sd=1.0, median=0.0, spread=spread)
    fine = ndtri((np.arange(1_000_000) + 0.5) / 1_000_000)
    return Ruler(mean=0.0, sd=1.0, median=0.0, spread=spread, bent_sd=float(straight.bent(fine).std()))


RULER = ruler()


def law(shift: float) -> Law:
    """Of a normal with mean `shift` and sd 1."""
    edges = np.array([-9.0, *BINS.edges, 9.0])
    fine = np.linspace(-9, 9, 200_001)
    weight = np.exp(-((fine - shift) ** 2) / 2)
    place = np.clip(np.searchsorted(edges, fine, side="right") - 1, 0, BINS.size - 1)
    bent = RULER.bent(fine.astype(np.float32))
    total = np.bincount(place, weight, BINS.size)
    mean = np.bincount(place, weight * bent, BINS.size) / total
    square = np.bincount(place, weight * bent**2, BINS.size) / total
    share = np.diff(ndtr(edges - shift))
    return Law(share=share / share.sum(), mean=mean, variance=np.maximum(square - mean**2, 0))


QUIET = law(0.0)


def drawn(rng: RNG, sizes: Ints, *, of: Law = QUIET) -> Tally:
    """A tally of blocks with `sizes` independent rows each."""
    counts = rng.multinomial(sizes, of.share)
    sums = counts @ of.mean + np.sqrt(counts @ of.variance) * rng.normal(size=len(sizes))
    return Tally(
        counts=counts,
        missing=np.zeros(len(sizes), dtype=np.int64),
        invalid=np.zeros(len(sizes), dtype=np.int64),
        deviations=np.zeros(len(sizes), dtype=np.int64),
        bends=np.rint(sums * STEPS).astype(np.int64),
    )


def clumped(rng: RNG, days: int, rows: int, *, clump: int = 1, day_sd: float = 0.0) -> Tally:
    """Days of real values: each value shared by `clump` rows, and each day moved by `day_sd`."""
    values = rng.normal(size=(days, rows // clump)) + day_sd * rng.normal(size=(days, 1))
    edges = np.array(BINS.edges)
    place = np.searchsorted(edges, values.ravel(), side="right")
    cells = place + np.repeat(np.arange(days), rows // clump) * BINS.size
    bent = RULER.bent(values.astype(np.float32))
    return Tally(
        counts=clump * np.bincount(cells, minlength=days * BINS.size).reshape(days, BINS.size),
        missing=np.zeros(days, dtype=np.int64),
        invalid=np.zeros(days, dtype=np.int64),
        deviations=np.zeros(days, dtype=np.int64),
        bends=clump * np.rint(bent * STEPS).sum(axis=1).astype(np.int64),
    )


def reference_of(tallies: list[Tally], *, by_day: bool) -> Reference:
    """One feature a tally. Without days all rows are in the first block, which belongs to none."""
    made = {f"f{place:03d}": _blocks(tally, by_day=by_day) for place, tally in enumerate(tallies)}
    rows = int(tallies[0].rows.sum())
    blocks = tuple(range(len(tallies[0].missing))) if by_day else ()
    features = {name: FeatureReference(name=name, bins=BINS, ruler=RULER, tally=one) for name, one in made.items()}
    return Reference(rows=rows, blocks=blocks, features=features)


def _blocks(tally: Tally, *, by_day: bool) -> Tally:
    if not by_day:
        return tally.total()
    return Tally(
        counts=np.concatenate([np.zeros((1, BINS.size), dtype=np.int64), tally.counts]),
        missing=np.append(0, tally.missing),
        invalid=np.append(0, tally.invalid),
        deviations=np.append(0, tally.deviations),
        bends=np.append(0, tally.bends),
    )


def window_of(tallies: list[Tally]) -> WindowProfile:
    features = {
        f"f{place:03d}": FeatureProfile(name=f"f{place:03d}", bins=BINS, ruler=RULER, tally=tally)
        for place, tally in enumerate(tallies)
    }
    return WindowProfile(rows=int(tallies[0].rows.sum()), features=features)

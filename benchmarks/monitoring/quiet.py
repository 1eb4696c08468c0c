"""How often windows alarm in which nothing changed, against the stated 1 %."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from benchmarks.monitoring.worlds import RNG, clumped, drawn, reference_of, window_of
from flyball.stats.counting import profile_window
from flyball.stats.drift import judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import Reference, WindowProfile
from flyball.stats.tails import root_limit
from flyball.stats.tally import Tally

STATED = 0.01
DAYS = 60
REFERENCE_ROWS = 100_000
FEATURES = (5, 50, 500)
ROWS = (50, 1_000, 100_000)
REAL = 20

World = Callable[[RNG, int], Iterator[tuple[Reference, WindowProfile]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Windows judged and how many alarmed; `most` may."""

    case: str
    windows: int
    alarms: int
    most: int

    @property
    def met(self) -> bool:
        return self.alarms <= self.most


def cell(case: str, world: World, windows: int, most_share: float, seed: int) -> Cell:
    rng = np.random.default_rng(seed)
    alarms = sum(drifts(reference, window) for reference, window in world(rng, windows))
    return Cell(case=case, windows=windows, alarms=alarms, most=round(most_share * windows))


def whole(case: str, world: World, windows: int, most_share: float, seed: int) -> Cell:
    """The same, every feature judged."""
    pairs = world(np.random.default_rng(seed), windows)
    alarms = sum(judge(*pair, false_alarms=STATED).verdict == "drift" for pair in pairs)
    return Cell(case=case, windows=windows, alarms=alarms, most=round(most_share * windows))


def drifts(reference: Reference, window: WindowProfile) -> bool:
    """Whether the whole verdict is drift; features that cannot alarm are not judged, which saves most of the time.

    An alarm needs a difference beyond chance for independent rows: G at its limit, or ranks at theirs. No pooling makes G
    larger (data processing), and for ranks of a number the exponent's root is within 60 % of the normal z.
    """
    counts = np.stack([one.counts for one in window.features.values()])
    known = np.stack([one.tally.counts.sum(axis=0) for one in reference.features.values()])
    level = STATED / (3 * len(counts))
    total, n, rows = counts + known, counts.sum(axis=1), known.sum(axis=1)
    g = sum(
        2
        * (side * np.log(np.where(side > 0, side / np.maximum(total * (many / (n + rows))[:, None], 1e-9), 1))).sum(
            axis=1
        )
        for side, many in ((counts, n), (known, rows))
    )
    freedom = np.maximum((total > 0).sum(axis=1) - 1, 1)
    share = total / total.sum(axis=1, keepdims=True)
    score = np.cumsum(share, axis=1) - share / 2
    z = (counts * score).sum(axis=1) / n - (known * score).sum(axis=1) / rows
    z /= np.sqrt((1 / n + 1 / rows) / 12)
    # Fewer bins have a lower limit: a pooled G is held against the limit of at least half the bins.
    able = (g > chdtri(np.maximum(freedom // 4, 1), level)) | (np.abs(z) > 0.6 * root_limit(level))
    names = [name for name, one in zip(reference.features, able, strict=True) if one]
    if not names:
        return False
    rate = STATED * len(names) / len(counts)
    return judge(reference, window, false_alarms=rate, features=names).verdict == "drift"


def independent(features: int, rows: int, *, by_day: bool) -> World:
    """Reference and window as counts; a new reference for every window, or by day (as long as the window) for every five."""

    def pairs(rng: RNG, windows: int) -> Iterator[tuple[Reference, WindowProfile]]:
        sizes = np.full(DAYS if by_day else 1, rows if by_day else REFERENCE_ROWS)
        for place in range(windows):
            if place % (5 if by_day else 1) == 0:
                reference = reference_of([drawn(rng, sizes) for _ in range(features)], by_day=by_day)
            yield reference, window_of([drawn(rng, np.array([rows])) for _ in range(features)])

    return pairs


def clumps(features: int, rows: int, *, clump: int, day_sd: float) -> World:
    """Sixty days learned, then days of the same kind; a new reference every twenty."""

    def pairs(rng: RNG, windows: int) -> Iterator[tuple[Reference, WindowProfile]]:
        def days(many: int) -> list[Tally]:
            return [clumped(rng, many, rows, clump=clump, day_sd=day_sd) for _ in range(features)]

        for start in range(0, windows, 20):
            reference = reference_of(days(DAYS), by_day=True)
            for _ in range(min(20, windows - start)):
                yield reference, window_of(days(1))

    return pairs


def real(features: int, rows: int) -> World:
    """Arrays of numbers, a reference fitted on them with its own bins, and windows counted into these."""

    def pairs(rng: RNG, windows: int) -> Iterator[tuple[Reference, WindowProfile]]:
        def columns(many: int) -> dict[str, npt.NDArray[np.float32]]:
            return {f"f{place:03d}": rng.normal(size=many).astype(np.float32) for place in range(features)}

        known = columns(REFERENCE_ROWS)
        reference = fit_reference(known, dict.fromkeys(known, "number"), None)
        for _ in range(windows):
            yield reference, profile_window(reference, columns(rows))

    return pairs


def cells(windows: int = 1_000) -> Iterator[Cell]:
    for place, (features, rows) in enumerate((f, n) for f in FEATURES for n in ROWS):
        name = f"{features} features x {rows:,} rows"
        yield cell(f"{name}, independent", independent(features, rows, by_day=False), windows, 0.02, place)
        yield whole(f"{name}, independent, real values", real(features, rows), REAL, 0.1, 100 + place)
    for place, (features, rows) in enumerate((f, n) for f in FEATURES[:2] for n in ROWS):
        name = f"{features} features x {rows:,} rows"
        yield cell(
            f"{name}, independent, by 60 days", independent(features, rows, by_day=True), windows, 0.02, 200 + place
        )
    hard = independent(500, 1_000, by_day=True)
    yield cell("500 features x 1,000 rows, independent, by 60 days", hard, windows, 0.02, 300)
    for place, (features, rows) in enumerate(((5, 1_000), (50, 1_000), (50, 10_000))):
        name = f"{features} features x {rows:,} rows"
        for day_sd, clump in ((0.0, 50), (0.05, 1), (0.05, 50)):
            told = ", ".join(
                text
                for text in (
                    "blocks of 50 equal values" if clump > 1 else "",
                    f"day effects of {day_sd} sd" if day_sd else "",
                )
                if text
            )
            world = clumps(features, rows, clump=clump, day_sd=day_sd)
            yield cell(
                f"{name}, {told}, by 60 days", world, windows if rows < 10_000 else windows // 5, 0.02, 400 + place
            )


def table() -> Iterator[str]:
    yield "## Windows in which nothing changed"
    yield "Stated: 1 alarm in 100 windows, over all features and statistics together."
    yield ""
    yield "| case | windows | alarms | at most | |"
    yield "|---|---|---|---|---|"
    for one in cells():
        yield f"| {one.case} | {one.windows:,} | {one.alarms} | {one.most} | {'met' if one.met else '**not met**'} |"

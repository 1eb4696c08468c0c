"""How often a change is found, and how often one too small to matter is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.monitoring.quiet import DAYS, REFERENCE_ROWS, STATED
from benchmarks.monitoring.worlds import QUIET, RNG, drawn, law, reference_of, window_of
from flyball.stats.counting import profile_window
from flyball.stats.drift import judge
from flyball.stats.fitting import fit_reference

Column = npt.NDArray[np.generic]
Draw = Callable[[RNG, int], Column]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How many trials came out as they should; at least `least` of them have to."""

    case: str
    trials: int
    right: int
    least: float

    @property
    def met(self) -> bool:
        return self.right >= self.least * self.trials


def shifted(
    case: str,
    *,
    features: int,
    rows: int,
    shift: float,
    by_day: bool,
    windows: int,
    silent: bool,
    least: float,
    trials: int,
    seed: int,
) -> Power:
    """The first of `features` is moved; found if it alarms in one of `windows` windows."""
    rng, moved, right = np.random.default_rng(seed), law(shift), 0
    sizes = np.full(DAYS, max(rows, 1_000)) if by_day else np.array([REFERENCE_ROWS])
    for _ in range(trials):
        reference = reference_of([drawn(rng, sizes) for _ in range(features)], by_day=by_day)
        found = False
        for _ in range(windows):
            window = window_of(
                [drawn(rng, np.array([rows]), of=moved if place == 0 else QUIET) for place in range(features)]
            )
            found = found or "f000" in judge(reference, window, false_alarms=STATED).alarming
        right += found != silent
    return Power(case=case, trials=trials, right=right, least=least)


def changed(
    case: str,
    *,
    kind: str,
    before: Draw,
    after: Draw,
    rows: int,
    features: int,
    by_day: bool,
    least: float,
    trials: int,
    seed: int,
) -> Power:
    """One column of real values among `features` alike, the others quiet and not drawn: they only share the rate."""
    rng, right = np.random.default_rng(seed), 0
    for _ in range(trials):
        known = before(rng, 60_000)
        reference = fit_reference({"x": known}, {"x": kind}, np.repeat(np.arange(DAYS), 1_000) if by_day else None)
        window = profile_window(reference, {"x": after(rng, rows)})
        right += judge(reference, window, false_alarms=STATED / features).verdict == "drift"
    return Power(case=case, trials=trials, right=right, least=least)


def level(share: float) -> Draw:
    def draw(rng: RNG, rows: int) -> Column:
        return np.where(rng.random(rows) < share, "a", rng.choice(np.array(list("bcdef")), rows)).astype(object)

    return draw


def gaps(share: float) -> Draw:
    def draw(rng: RNG, rows: int) -> Column:
        return np.where(rng.random(rows) < share, np.nan, rng.normal(size=rows))

    return draw


def pareto(scale: float, *, tail_only: bool) -> Draw:
    """Pareto with index 1.5; scaled as a whole, or only the tenth of its rows that is highest."""

    def draw(rng: RNG, rows: int) -> Column:
        values = rng.pareto(1.5, rows) + 1
        start = 0.1 ** (-1 / 1.5) if tail_only else 0.0
        return np.where(values > start, values * scale, values)

    return draw


def powers(trials: int = 300) -> Iterator[Power]:
    for by_day in (False, True):
        null = "by 60 days" if by_day else "independent rows"
        yield shifted(
            f"0.2 sd in 1 of 50 features, 1,000 rows, within 2 windows, {null}",
            features=50,
            rows=1_000,
            shift=0.2,
            by_day=by_day,
            windows=2,
            silent=False,
            least=0.95,
            trials=trials,
            seed=1,
        )
        yield shifted(
            f"0.03 sd, 100,000 rows, silent, {null}",
            features=1,
            rows=100_000,
            shift=0.03,
            by_day=by_day,
            windows=1,
            silent=True,
            least=0.99,
            trials=trials,
            seed=2,
        )
        yield shifted(
            f"0.1 sd, 100,000 rows, {null}",
            features=1,
            rows=100_000,
            shift=0.1,
            by_day=by_day,
            windows=1,
            silent=False,
            least=0.99,
            trials=trials,
            seed=3,
        )
        for features in (1, 50):
            told = f"{null}, 1 of {features} features"
            yield changed(
                f"category share 10 % -> 13 %, 5,000 rows, {told}",
                kind="category",
                before=level(0.10),
                after=level(0.13),
                rows=5_000,
                features=features,
                by_day=by_day,
                least=0.95,
                trials=trials,
                seed=4,
            )
            yield changed(
                f"missing 2 % -> 5 %, 1,000 rows, {told}",
                kind="number",
                before=gaps(0.02),
                after=gaps(0.05),
                rows=1_000,
                features=features,
                by_day=by_day,
                least=0.9 if features == 1 else 0,
                trials=trials,
                seed=5,
            )
            for tail_only in (False, True):
                part = "its highest tenth" if tail_only else "all of it"
                yield changed(
                    f"heavy tail x 1.5 ({part}), 10,000 rows, {told}",
                    kind="number",
                    before=pareto(1.0, tail_only=False),
                    after=pareto(1.5, tail_only=tail_only),
                    rows=10_000,
                    features=features,
                    by_day=by_day,
                    least=0.95,
                    trials=trials,
                    seed=6,
                )


def table() -> Iterator[str]:
    yield "## Changes that were made"
    yield "Found at a stated rate of 1 false alarm in 100 windows; 'silent' rows are right where nothing alarmed."
    yield ""
    yield "| case | trials | right | asked | |"
    yield "|---|---|---|---|---|"
    for one in powers():
        asked = "told only" if one.least == 0 else f"{one.least:.0%}"
        met = "" if one.least == 0 else "met" if one.met else "**not met**"
        yield f"| {one.case} | {one.trials} | {one.right / one.trials:.1%} | {asked} | {met} |"

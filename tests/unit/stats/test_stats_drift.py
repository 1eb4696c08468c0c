"""Drift verdicts: quiet days stay quiet at the stated rate, and what matters is found."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from flyball.errors import Mistake
from flyball.stats.counting import profile_window
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import Reference

Columns = dict[str, npt.NDArray[Any]]
RNG = np.random.Generator

FEATURES = 16
DAYS = 60
ROWS = 1_000


def numbers(rng: RNG, *, rows: int = ROWS, day_sd: float = 0.0, hours: bool = False) -> Columns:
    """A day of 16 numbers; each day moves each of them by day_sd, and with `hours` rows of an hour share one value."""
    columns = {}
    for index in range(FEATURES):
        values = np.repeat(rng.normal(size=25), 40) if hours else rng.normal(size=rows)
        columns[f"f{index:02d}"] = values + day_sd * rng.normal()
    return columns


def levels(rng: RNG, share: float) -> Columns:
    return {"c": np.where(rng.random(ROWS) < share, "rare", "usual").astype(object)}


def learn(days: list[Columns], *, by_day: bool = True) -> Reference:
    columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    kinds = {name: "category" if values.dtype == object else "number" for name, values in columns.items()}
    sizes = [len(next(iter(day.values()))) for day in days]
    return fit_reference(columns, kinds, np.repeat(np.arange(len(days)), sizes) if by_day else None)


@pytest.fixture(scope="module")
def usual() -> Reference:
    """What quiet is: sixty days of sixteen independent numbers."""
    rng = np.random.default_rng(1933)
    return learn([numbers(rng) for _ in range(DAYS)])


def verdict_on(reference: Reference, day: Columns, **settings: Any) -> DriftVerdict:
    return judge(reference, profile_window(reference, day), **{"false_alarms": 0.01, **settings})


def test_values_shared_by_the_rows_of_an_hour_are_quiet_by_days_and_alarm_by_rows() -> None:
    """25 weather readings a day under 1,000 rows: an iid test alarms every day, days as the sample do not."""
    rng = np.random.default_rng(0)
    days = [numbers(rng, day_sd=1, hours=True) for _ in range(DAYS)]
    by_rows, by_days = learn(days, by_day=False), learn(days)
    for _ in range(5):
        day = numbers(rng, day_sd=1, hours=True)
        assert verdict_on(by_rows, day).verdict == "drift"
        assert verdict_on(by_days, day).verdict == "steady"


@pytest.mark.parametrize("day_sd", [0, 0.1])
def test_a_shift_of_one_sd_is_found_at_once_and_named(day_sd: float, usual: Reference) -> None:
    """Ten shifted days of ten, one feature of sixteen."""
    rng = np.random.default_rng(2)
    reference = learn([numbers(rng, day_sd=day_sd) for _ in range(DAYS)]) if day_sd else usual
    for _ in range(10):
        day = numbers(rng, day_sd=day_sd)
        day["f07"] = day["f07"] + 1
        assert verdict_on(reference, day).alarming[0] == "f07"


def test_a_level_that_doubles_its_share_is_found() -> None:
    """10 % to 20 % of 1,000 rows: psi only 0.08, but a share of ten rows in a hundred has moved."""
    rng = np.random.default_rng(3)
    reference = learn([levels(rng, 0.1) for _ in range(DAYS)])
    assert verdict_on(reference, levels(rng, 0.1)).verdict == "steady"
    found = verdict_on(reference, {"c": np.repeat(np.array(["rare", "usual"], dtype=object), [200, 800])})
    assert found.verdict == "drift"
    assert found.features[0].statistics["psi"].effect == pytest.approx(0.1, abs=0.005)


def test_one_row_of_an_unseen_level_among_five_thousand_is_no_drift() -> None:
    """A typo of one caller moves 0.02 % of the rows."""
    rng = np.random.default_rng(12)
    reference = learn([levels(rng, 0.1) for _ in range(DAYS)])
    day = np.concatenate([levels(rng, 0.1)["c"] for _ in range(5)])
    day[0] = "tpyo"
    assert verdict_on(reference, {"c": day}).verdict == "steady"


@pytest.mark.parametrize("by_day", [True, False])
def test_a_share_that_grows_from_ten_to_thirteen_per_cent_is_found(by_day: bool) -> None:
    """650 of 5,000 rows: seven standard errors, though psi is only 0.009."""
    rng = np.random.default_rng(13)
    reference = learn([levels(rng, 0.1) for _ in range(DAYS)], by_day=by_day)
    found = verdict_on(reference, {"c": np.repeat(np.array(["rare", "usual"], dtype=object), [650, 4_350])})
    psi = found.features[0].statistics["psi"]
    assert found.verdict == "drift"
    assert psi.effect_low < 0.03 < psi.effect_high


@pytest.mark.parametrize("rows", [50, 500, 5_000])
def test_a_quiet_column_of_a_thousand_levels_is_steady_in_windows_of_any_size(rows: int) -> None:
    """Fixed limits alarm on such a column, and are valid for one size of window only."""
    rng = np.random.default_rng(14)
    names = np.array([f"level {number}" for number in range(1_000)], dtype=object)
    reference = learn([{"c": rng.choice(names, 10_000)}], by_day=False)
    assert verdict_on(reference, {"c": rng.choice(names, rows)}).verdict == "steady"


def test_a_tail_ten_times_as_heavy_is_found() -> None:
    """Nearly all rows lie in the first of equal-width bins, before and after."""
    rng = np.random.default_rng(15)
    reference = learn([{"x": rng.pareto(1.5, ROWS)} for _ in range(DAYS)])
    assert verdict_on(reference, {"x": rng.pareto(1.5, ROWS)}).verdict == "steady"
    assert verdict_on(reference, {"x": 10 * rng.pareto(1.5, ROWS)}).verdict == "drift"


def test_an_unseen_level_is_found_and_told() -> None:
    """One row in ten of a level training never saw."""
    rng = np.random.default_rng(4)
    reference = learn([levels(rng, 0.1) for _ in range(DAYS)])
    day = levels(rng, 0.1)
    day["c"][:100] = "new"
    found = verdict_on(reference, day)
    assert found.verdict == "drift"
    assert "100 rows with an unseen level" in found.features[0].why


@pytest.mark.parametrize("gone", [math.nan, math.inf])
def test_values_that_go_missing_are_found(gone: float, usual: Reference) -> None:
    """0 % to 20 %, as nan or as infinity."""
    rng = np.random.default_rng(5)
    day = numbers(rng)
    day["f03"][rng.random(ROWS) < 0.2] = gone
    found = verdict_on(usual, day)
    assert found.alarming == ("f03",)
    assert found.features[3].statistics["missing"].alarm


def test_missing_values_that_stop_are_found_too() -> None:
    """30 % to 0 %: a default was filled in somewhere."""
    rng = np.random.default_rng(6)

    def day() -> Columns:
        return {"x": np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS))}

    reference = learn([day() for _ in range(DAYS)])
    assert verdict_on(reference, day()).verdict == "steady"
    assert verdict_on(reference, {"x": rng.normal(size=ROWS)}).features[0].statistics["missing"].alarm


@pytest.mark.parametrize("noise", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_strange_values_never_hide_a_shift(noise: float, usual: Reference) -> None:
    """A shift of one sd under one per cent of nan, infinities, or huge values of either sign."""
    rng = np.random.default_rng(7)
    day = numbers(rng)
    day["f00"] = day["f00"] + 1
    day["f00"][:10] = noise
    assert verdict_on(usual, day).alarming == ("f00",)


def test_a_season_alarms_beyond_the_range_where_bounded_distances_are_at_their_end() -> None:
    """Winter days differ so much from each other that psi's limit is near its maximum; the location has none."""
    rng = np.random.default_rng(8)

    def day(mean: float) -> Columns:
        return {"temp": np.repeat(mean + 8 * rng.normal() + 3 * rng.normal(size=25), 40)}

    reference = learn([day(35) for _ in range(DAYS)])
    summer = verdict_on(reference, day(85)).features[0]
    assert summer.statistics["location"].alarm
    assert summer.statistics["location"].value > 4
    assert "1000 above the reference's range" in summer.why


def test_a_constant_that_becomes_another_alarms() -> None:
    """Nothing varies, so any share that moves is beyond quiet; in both directions."""
    reference = learn([{"x": np.full(ROWS, 5.0)} for _ in range(DAYS)])
    assert verdict_on(reference, {"x": np.full(ROWS, 5.0)}).verdict == "steady"
    for other in (4.9, 5.1):
        assert verdict_on(reference, {"x": np.full(ROWS, other)}).verdict == "drift"


@pytest.mark.parametrize(("shift", "verdict"), [(0.03, "steady"), (0.1, "drift")])
def test_a_difference_too_small_to_matter_is_quiet_however_certain(shift: float, verdict: str) -> None:
    """0.03 sd in 100,000 rows are 9 standard errors, and nothing to act on; 0.1 sd are."""
    rng = np.random.default_rng(9)
    reference = learn([{"x": rng.normal(size=2_000)} for _ in range(DAYS)])
    found = verdict_on(reference, {"x": rng.normal(shift, 1, 100_000)})
    location = found.features[0].statistics["location"]
    assert found.verdict == verdict
    assert location.strength > 1
    assert location.effect_low < shift < location.effect_high


@pytest.mark.parametrize("rows", [0, 1, 49])
def test_too_few_rows_cannot_be_judged(rows: int, usual: Reference) -> None:
    """Never 'steady': silence of too little data is not quiet."""
    found = verdict_on(usual, numbers(np.random.default_rng(1), rows=rows))
    assert found.verdict == "cannot_judge"
    assert found.features[0].why == f"{rows} rows with a value; at least 50 are needed"


def test_a_feature_missing_in_every_row_is_never_steady() -> None:
    """An alarm where that is new; 'cannot judge' where it was always so."""
    rng = np.random.default_rng(0)
    usual = learn([{"x": rng.normal(size=ROWS)} for _ in range(DAYS)])
    never = learn([{"x": np.full(ROWS, np.nan)} for _ in range(DAYS)])
    gone = {"x": np.full(ROWS, np.nan)}
    assert verdict_on(usual, gone).verdict == "drift"
    assert verdict_on(never, gone).verdict == "cannot_judge"


@pytest.mark.parametrize(("days", "null"), [(9, "iid"), (10, "blocks")])
def test_the_verdict_says_what_quiet_was_learned_from(days: int, null: str) -> None:
    """Nine days are too few to learn from, ten are enough."""
    rng = np.random.default_rng(0)
    reference = learn([numbers(rng) for _ in range(days)])
    assert verdict_on(reference, numbers(rng)).features[0].null == null


def test_only_the_features_asked_for_may_alarm_and_share_the_rate(usual: Reference) -> None:
    """One number has three statistics that can alarm: each gets a third."""
    rng = np.random.default_rng(0)
    day = numbers(rng)
    day["f00"] = day["f00"] + 2
    found = verdict_on(usual, day, features=["f01"])
    assert (found.verdict, found.level) == ("steady", pytest.approx(0.01 / 3))


def test_alarming_features_are_ranked_strongest_first(usual: Reference) -> None:
    """Three, one and two standard deviations."""
    rng = np.random.default_rng(0)
    day = numbers(rng)
    for name, shift in (("f01", 3), ("f02", 1), ("f03", 2)):
        day[name] = day[name] + shift
    assert verdict_on(usual, day).alarming == ("f01", "f03", "f02")


def test_a_verdict_is_json() -> None:
    """No nan and no infinity, which JSON does not know, even where nothing varied."""
    reference = learn([{"x": np.full(ROWS, 5.0)} for _ in range(DAYS)])
    found = verdict_on(reference, {"x": np.full(ROWS, 6.0)})
    written = orjson.loads(orjson.dumps(found.to_json()))
    assert written == json.loads(json.dumps(asdict(found), allow_nan=False))
    assert written["alarming"] == ["x"]


@pytest.mark.parametrize("settings", [{"false_alarms": 0}, {"false_alarms": 1}, {"features": ["nope"]}])
def test_settings_that_cannot_be_honoured_are_refused(settings: dict[str, Any]) -> None:
    """Rates outside (0, 1) and unknown features, naming what is allowed."""
    reference = learn([{"x": np.arange(100.0)}])
    with pytest.raises(Mistake, match=r"allowed|it has: x"):
        verdict_on(reference, {"x": np.arange(100.0)}, **settings)


def test_every_statistic_is_shown_with_its_limit_and_the_size_of_the_change(usual: Reference) -> None:
    """Chi-square about its degrees of freedom on a quiet day, Wasserstein's distance the shift itself on a moved one."""
    rng = np.random.default_rng(31)
    day = numbers(rng)
    day["f03"] = day["f03"] + 0.5
    found = {one.feature: one.statistics for one in verdict_on(usual, day).features}
    assert set(found["f00"]) == {
        *("missing", "psi", "js_distance", "chi_square", "ks", "normed_wasserstein", "location")
    }
    quiet, moved = found["f00"], found["f03"]
    # 20 bins of equal counts: 19 degrees of freedom, standard deviation 6.2.
    assert quiet["chi_square"].value == pytest.approx(19, abs=19)
    assert quiet["chi_square"].null_mean == pytest.approx(19, abs=3)
    assert quiet["chi_square"].effect_low == 0
    # Half a standard deviation, but for the ends of the range, where rows count as at the border.
    assert moved["normed_wasserstein"].value == pytest.approx(0.5, abs=0.1)
    assert moved["normed_wasserstein"].strength > 1
    assert moved["chi_square"].value > moved["chi_square"].threshold
    assert not any(one[name].alarm for one in found.values() for name in ("chi_square", "normed_wasserstein"))


@pytest.mark.parametrize("by_day", [True, False])
def test_reported_limits_hold_too(by_day: bool) -> None:
    """1 in 300 of quiet windows, so that more than 3 of 100 are beyond one in 1 of 2,000 runs."""
    rng = np.random.default_rng(32)
    reference = learn([{"x": rng.normal(size=300)} for _ in range(20)], by_day=by_day)
    beyond: Counter[str] = Counter()
    for _ in range(100):
        (one,) = verdict_on(reference, {"x": rng.normal(size=300)}).features
        beyond.update(name for name, statistic in one.statistics.items() if statistic.strength > 1)
    assert max(beyond["chi_square"], beyond["normed_wasserstein"]) <= 3

"""Slices: which there are, which one a row is in, and a change in one of them that the whole does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flyball.stats.bins import Coded
from flyball.stats.counting import profile_window
from flyball.stats.drift import judge
from flyball.stats.fitting import answers_of, fit_reference
from flyball.stats.profile import CONFIDENCE, SCORE, Reference, merge
from flyball.stats.profile_file import reference_bytes, reference_from_bytes
from flyball.stats.slices import MIN_SLICE_ROWS, MOST_SLICES, NOWHERE, fit_slicer

Columns = dict[str, npt.NDArray[Any]]

DAYS, ROWS = 30, 200
KINDS = {"temp": "number", "wind": "number", "origin": "category"}
AIRPORTS = np.array(["EWR", "JFK", "LGA"], dtype=object)


def rows(rng: np.random.Generator, n: int = ROWS) -> Columns:
    """Warmer at JFK by a whole standard deviation."""
    origin = rng.choice(AIRPORTS, n)
    return {"temp": rng.normal(size=n) + (origin == "JFK"), "wind": rng.normal(size=n), "origin": origin}


@pytest.fixture(scope="module")
def usual() -> Reference:
    known = rows(np.random.default_rng(1), DAYS * ROWS)
    return fit_reference(known, KINDS, np.repeat(np.arange(DAYS), ROWS), slices=["origin"])


def test_the_levels_with_most_rows_are_slices_up_to_a_bound() -> None:
    """Twelve levels of 511 to 500 rows, one of 499: the ten largest, in order; missing is no slice."""
    names = [level for place in range(12) for level in [f"l{place:02}"] * (MIN_SLICE_ROWS + 11 - place)]
    slicer = fit_slicer(
        "c", np.array([*names, *["rare"] * (MIN_SLICE_ROWS - 1), *[""] * 900], dtype=object), "category"
    )
    assert slicer.names() == tuple(f"c=l{place:02}" for place in range(MOST_SLICES))
    assert slicer.places(np.array(["l01", "rare", "l10", "", None], dtype=object)).tolist() == [1, *[NOWHERE] * 4]
    assert slicer.places(Coded(codes=np.array([1, 0, -1]), levels=["l03", "new"])).tolist() == [NOWHERE, 3, NOWHERE]


def test_a_number_of_few_values_is_cut_by_value_and_of_many_into_quarters() -> None:
    """Months; and a thousand kilometres, whose ends belong to the outer quarters."""
    months = fit_slicer("month", np.repeat([3.0, 1.0], [600, 700]), "number")
    assert months.names() == ("month=1", "month=3")
    assert months.places(np.array([3.0, 2.0, 1.0, np.nan])).tolist() == [1, NOWHERE, 0, NOWHERE]
    far = fit_slicer("km", np.repeat(np.arange(1, 1_001), 2), "number")
    assert far.names() == ("km=1 to 250", "km=250 to 500", "km=500 to 750", "km=750 to 1000")
    assert far.places(np.array([0.0, 1.0, 250.0, 1_000.0, 1_001.0])).tolist() == [NOWHERE, 0, 1, 3, NOWHERE]


def test_a_change_in_one_slice_is_found_and_named(usual: Reference) -> None:
    """LGA's temperatures fall by 1.2: the whole's by a third of that."""
    rng = np.random.default_rng(2)
    quiet, moved = rows(rng, 600), rows(rng, 600)
    assert judge(usual, profile_window(usual, quiet), false_alarms=0.01, slices=["origin"]).verdict == "steady"
    moved["temp"] = moved["temp"] - 1.2 * (moved["origin"] == "LGA")
    found = judge(usual, profile_window(usual, moved), false_alarms=0.01, slices=["origin"])
    assert found.verdict == "drift"
    assert found.alarming_in_slices[0] == "origin=LGA: temp"
    by_name = {part.slice: part for part in found.slices}
    assert {name: part.verdict for name, part in by_name.items()} == {
        "origin=EWR": "steady",
        "origin=JFK": "steady",
        "origin=LGA": "drift",
    }
    assert by_name["origin=LGA"].why.startswith("temp shifted by -1.")
    # Not its own column, which does not vary in a slice; the steady ones are counted.
    assert by_name["origin=LGA"].steady == 1


def test_whole_and_slices_share_one_rate_of_false_alarms(usual: Reference) -> None:
    """Two numbers of three statistics and a category of two; the numbers once more in each of three slices: 26 in all."""
    window = profile_window(usual, rows(np.random.default_rng(3)))
    assert judge(usual, window, false_alarms=0.01).level == pytest.approx(0.01 / 8)
    assert judge(usual, window, false_alarms=0.01, slices=["origin"]).level == pytest.approx(0.01 / 26)


def test_a_window_in_parts_has_the_slices_of_the_whole(usual: Reference) -> None:
    """Counted batch by batch, in any order."""
    seen = rows(np.random.default_rng(4), 700)
    parts = [
        profile_window(usual, {name: values[cut] for name, values in seen.items()})
        for cut in (slice(0, 300), slice(300, 700))
    ]
    whole, together = profile_window(usual, seen).slices["origin"], merge(*reversed(parts)).slices["origin"]
    assert [part.rows for part in together] == [part.rows for part in whole]
    for one, other in zip(whole, together, strict=True):
        assert (one.features["temp"].counts == other.features["temp"].counts).all()


def test_slices_are_kept_in_the_file_and_a_file_without_says_why(usual: Reference) -> None:
    """A version made before [monitor] slices named the column."""
    back = reference_from_bytes(reference_bytes(usual))
    assert back.slices["origin"].slicer == usual.slices["origin"].slicer
    assert (back.slices["origin"].tallies["temp"].counts == usual.slices["origin"].tallies["temp"].counts).all()
    window = profile_window(usual, rows(np.random.default_rng(5)))
    (part,) = judge(usual, window, false_alarms=0.01, slices=["wind"]).slices
    assert (part.slice, part.verdict) == ("wind", "cannot_judge")
    assert part.why == "the version's reference keeps no slices of wind; the next version's will"


def test_an_empty_slice_cannot_be_judged(usual: Reference) -> None:
    """Nobody flew from JFK that day: nothing is not 'the same'."""
    day = rows(np.random.default_rng(6), 600)
    day = {name: values[day["origin"] != "JFK"] for name, values in day.items()}
    found = judge(usual, profile_window(usual, day), false_alarms=0.01, slices=["origin"])
    assert {part.slice: part.verdict for part in found.slices}["origin=JFK"] == "cannot_judge"


def test_a_confidence_that_is_a_function_of_the_score_is_reported_and_shares_no_rate() -> None:
    """Of two classes; of several the score is the confidence, and judged; a regression has none."""
    rng = np.random.default_rng(7)
    score = rng.random(6_000)
    answers = answers_of("binary", score)
    assert answers[CONFIDENCE][:3] == pytest.approx(np.maximum(score[:3], 1 - score[:3]))
    reference = fit_reference(answers, dict.fromkeys(answers, "number"), np.repeat(np.arange(DAYS), ROWS))
    sure = answers_of("binary", rng.choice([0.01, 0.99], 500))
    found = judge(reference, profile_window(reference, sure), false_alarms=0.01)
    assert (found.alarming, found.level) == ((SCORE,), pytest.approx(0.01 / 3))
    (shown,) = found.reported
    assert (shown.feature, shown.verdict) == (CONFIDENCE, "reported")
    assert shown.statistics["location"].strength > 1
    assert not any(one.alarm for one in shown.statistics.values())
    assert set(answers_of("multiclass", score)) == {CONFIDENCE}
    assert set(answers_of("regression", score)) == {SCORE}
    several = fit_reference({CONFIDENCE: score}, {CONFIDENCE: "number"}, np.repeat(np.arange(DAYS), ROWS))
    assert judge(several, profile_window(several, {CONFIDENCE: score[:500] / 2}), false_alarms=0.01).verdict == "drift"

"""A fault in one slice of a window: real journal, lake and database; found, named and told for what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyball.journal import lake
from flyball.monitor.diagnosis import by_inputs
from flyball.monitor.inputs import broken_inputs
from flyball.registry.decisions import decisions
from flyball.stats.fitting import answers_of, fit_reference
from flyball.stats.profile import CONFIDENCE, SCORE, Reference
from tests.integration.monitor.test_monitor_watch import SETTINGS, WINDOW, Site

SLICED = replace(SETTINGS, slices=("origin",))
DAYS, ROWS = 30, 400


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.database.close()


def rows(site: Site, n: int = ROWS) -> dict[str, Any]:
    """A tenth of the flights leave from JFK; visibility in miles is the same at both, within a few of 40."""
    origin = np.where(site.rng.random(n) < 0.9, "LGA", "JFK").astype(object)
    return {"visib": site.rng.normal(40, 5, n).astype(np.float32), "wind": site.rng.normal(size=n), "origin": origin}


def reference(site: Site) -> Reference:
    known = rows(site, DAYS * ROWS)
    columns = {**known, **answers_of("binary", site.rng.random(DAYS * ROWS))}
    kinds = dict.fromkeys(columns, "number") | {"origin": "category"}
    return fit_reference(columns, kinds, np.repeat(np.arange(DAYS), ROWS), slices=["origin"])


def test_a_unit_that_changes_at_one_airport_is_found_there_and_named(site: Site) -> None:
    """JFK counts in tenths from now on, on three hundred flights of three thousand; every other flight is as it was."""
    known = reference(site)
    day = rows(site, 3_000)
    day["visib"] = np.where(day["origin"] == "JFK", day["visib"] * 10, day["visib"])
    site.answer(day)
    found = site.drift(known, settings=SLICED)
    assert "origin=JFK: visib" in found.alarming_in_slices
    assert {part.slice: part.verdict for part in found.slices} == {"origin=LGA": "steady", "origin=JFK": "drift"}
    (decision,) = decisions(site.database, "flights")
    assert "origin=JFK: visib" in decision.reason or "visib (" in decision.reason
    faults = broken_inputs(known, lake.predictions(site.home, "flights", *WINDOW), found)
    assert [(item.feature, item.fault) for item in faults] == [("visib", "unit")]
    assert faults[0].why.startswith("origin=JFK: visib is about 10 times what it was in training")
    assert by_inputs(found, faults, importance={}).cause == "broken_data"


def test_a_shift_in_a_small_slice_is_named_while_the_whole_is_steady(site: Site) -> None:
    """Half of the spread at JFK alone is a twentieth of it over all rows."""
    known = reference(site)
    day = rows(site, 3_000)
    day["visib"] = day["visib"] + np.where(day["origin"] == "JFK", 2.5, 0).astype(np.float32)
    site.answer(day)
    found = site.drift(known, settings=SLICED)
    assert (found.alarming, found.alarming_in_slices) == ((), ("origin=JFK: visib",))
    assert found.verdict == "drift"
    (decision,) = decisions(site.database, "flights")
    assert decision.reason.startswith("origin=JFK: visib (shifted by +0.")
    assert decision.reason.endswith("; 4 steady; 1 of 2 slices steady")
    diagnosis = by_inputs(found, (), importance={"visib": 0.1})
    assert diagnosis.features[0].feature == "origin=JFK: visib"
    assert (diagnosis.cause, diagnosis.action) == ("covariate_drift", "watch")


def test_the_confidence_is_reported_beside_the_score(site: Site) -> None:
    """max(p, 1 - p) of the version's own answers."""
    known = reference(site)
    site.answer(rows(site), score=np.full(ROWS, 0.1))
    found = site.drift(known, settings=SLICED)
    assert SCORE in found.alarming
    (shown,) = found.reported
    assert (shown.feature, shown.verdict, shown.rows, shown.missing) == (CONFIDENCE, "reported", ROWS, 0)


def test_a_version_without_slices_says_that_it_cannot_judge_them(site: Site) -> None:
    """Made before the setting was."""
    known = replace(reference(site), slices={})
    site.answer(rows(site))
    found = site.drift(known, settings=SLICED)
    assert (found.verdict, found.slices[0].slice, found.slices[0].verdict) == ("steady", "origin", "cannot_judge")
    (decision,) = decisions(site.database, "flights")
    assert decision.reason.endswith(
        "; cannot judge origin: the version's reference keeps no slices of origin; the next version's will"
    )


def test_slices_of_a_column_that_is_hashed_cannot_be_judged(site: Site) -> None:
    """Its levels are not those of training."""
    known = reference(site)
    site.answer(rows(site))
    found = site.drift(known, settings=SLICED, withheld=("origin",))
    assert found.slices[0].why == "the journal does not keep origin"

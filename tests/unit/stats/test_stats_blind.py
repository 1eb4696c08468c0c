"""Where each day has weather of its own no window is too odd for psi, and the verdict says which statistics are left."""

from __future__ import annotations

import numpy as np

from flyball.stats.counting import profile_window
from flyball.stats.drift import judge
from flyball.stats.fitting import fit_reference

DAYS, ROWS = 60, 400
BLIND = "; these differ by more than psi can show, so that only location and missing values can alarm"


def why(spread_of_days: float) -> str:
    """Of a quiet day, where a day's rows are spread by a tenth and days by `spread_of_days`."""
    random = np.random.default_rng(3)
    centres = spread_of_days * random.normal(size=DAYS + 1)
    values = centres[:, None] + 0.1 * random.normal(size=(DAYS + 1, ROWS))
    reference = fit_reference({"x": values[:DAYS].ravel()}, {"x": "number"}, np.repeat(np.arange(DAYS), ROWS))
    verdict = judge(reference, profile_window(reference, {"x": values[DAYS]}), false_alarms=0.01)
    assert verdict.verdict == "steady"
    return verdict.features[0].why


def test_days_of_weather_leave_location_and_missing_values() -> None:
    assert why(1.0) == "within its quiet days" + BLIND


def test_days_that_are_alike_leave_all() -> None:
    assert why(0.0) == "within its quiet days"

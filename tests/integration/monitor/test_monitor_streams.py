"""Changes in a stream of errors, by river's detectors and ours."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flyball.monitor.streams import changes
from flyball.stats.page_hinkley import rises

START = datetime(2013, 3, 1, tzinfo=UTC)


def test_a_sudden_change_is_dated_by_both_detectors_and_quiet_days_are_not() -> None:
    """Ten days of 200 errors of mean 0.2, then one of 0.6: noticed within its first 100 rows; before it, nothing."""
    pytest.importorskip("river.drift")
    random = np.random.default_rng(6)
    errors = np.concatenate([random.random(2000) < 0.2, random.random(200) < 0.6]).astype(np.float64)
    days = np.repeat(np.arange(11), 200)
    times = np.datetime64("2013-03-01", "us") + np.arange(2200) * np.timedelta64(432, "s")
    last = datetime(2013, 3, 11, tzinfo=UTC)
    assert changes(errors[:2000], times[:2000], days[:2000], START, false_alarms=0.003) == ()
    found = changes(errors, times, days, last, false_alarms=0.003)
    assert "adwin" in {item.detector for item in found}
    for item in found:
        assert item.at < datetime(2013, 3, 11, 12, tzinfo=UTC)
        assert item.confirmed


def test_a_rise_is_noticed_where_river_notices_it() -> None:
    """Four steps of the mean, up and down, over some blocks: noticed at the same rows, before and after each beginning anew."""
    drift = pytest.importorskip("river.drift")
    random = np.random.default_rng(7)
    errors = np.concatenate([random.random(3000) < share for share in (0.1, 0.5, 0.2, 0.9)]).astype(np.float64)
    detector, noticed = drift.PageHinkley(mode="up"), []
    for index, error in enumerate(errors.tolist()):
        detector.update(error)
        if detector.drift_detected:
            noticed.append(index)
    assert len(noticed) >= 2
    assert list(rises(errors)) == noticed

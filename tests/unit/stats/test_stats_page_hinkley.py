"""Page-Hinkley over all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.stats.page_hinkley import rises


def test_a_rise_is_noticed_where_river_notices_it() -> None:
    """Four steps of the mean, up and down: noticed at the same rows, before and after each beginning anew."""
    drift = pytest.importorskip("river.drift")
    random = np.random.default_rng(7)
    errors = np.concatenate([random.random(1000) < share for share in (0.1, 0.5, 0.2, 0.9)]).astype(np.float64)
    detector, noticed = drift.PageHinkley(mode="up"), []
    for index, error in enumerate(errors.tolist()):
        detector.update(error)
        if detector.drift_detected:
            noticed.append(index)
    assert len(noticed) >= 2
    assert list(rises(errors)) == noticed


def test_nothing_rises_in_no_rows_in_few_or_downward() -> None:
    """It speaks from its thirtieth row on, and a fall is no worse."""
    falls = np.concatenate([np.ones(1000), np.zeros(1000)])
    for values in (np.zeros(0), np.linspace(0, 1000, 29), falls):
        assert list(rises(values)) == []

"""Evidence kept as JSON, read back for a page; evidence of another shape is shown raw, never an error."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
import pytest

from flyball.dashboard.drifts import feature_drifts
from flyball.dashboard.view import rule_results
from flyball.stats.counting import profile_window
from flyball.stats.drift import judge
from flyball.stats.fitting import fit_reference


def test_a_drift_verdict_is_read_back_with_its_alarming_features_first() -> None:
    """What the monitor keeps is a DriftVerdict as JSON."""
    rng = np.random.default_rng(1)
    reference = fit_reference(
        {"calm": rng.normal(size=6000), "moved": rng.normal(size=6000)},
        {"calm": "number", "moved": "number"},
        np.repeat(np.arange(30), 200),
    )
    window = profile_window(reference, {"calm": rng.normal(size=500), "moved": rng.normal(3, 1, size=500)})
    verdict = judge(reference, window, false_alarms=0.01)
    kept = orjson.loads(orjson.dumps(asdict(verdict), option=orjson.OPT_SERIALIZE_NUMPY))
    found = feature_drifts(kept)
    assert [(item.feature, item.verdict) for item in found] == [("moved", "drift"), ("calm", "steady")]
    assert any(item.alarm and item.value is not None for item in found[0].statistics)


def test_slices_that_alarm_stand_behind_features_that_do_and_what_cannot_alarm_comes_last() -> None:
    """With the rows that have no value or lie out of range; counts of another shape are left out."""
    told = {"why": "", "statistics": {}}
    kept = {
        "features": [{"feature": "calm", "verdict": "steady", **told}, {"feature": "temp", "verdict": "drift", **told}],
        "reported": [{"feature": "(confidence)", "verdict": "reported", **told}],
        "slices": [
            {
                "slice": "origin=JFK",
                "verdict": "drift",
                "features": [{"feature": "wind", "verdict": "drift", **told, "above": 3}],
            },
            {"slice": "origin=LGA", "verdict": "steady", "features": []},
            {"slice": "dest", "verdict": "cannot_judge", "features": [], "why": "no slices of dest"},
            {
                "slice": "origin=EWR",
                "verdict": "drift",
                "features": [{"feature": 3, "verdict": "drift", "above": "3"}, 7],
            },
            "origin=SFO",
        ],
    }
    found = feature_drifts(kept)
    assert [item.feature for item in found] == [
        *("temp", "origin=JFK: wind", "origin=EWR: 3", "calm", "(confidence)", "slices by dest")
    ]
    assert [item.above for item in found[:3]] == [None, 3, None]
    assert found[-1].why == "no slices of dest"


@pytest.mark.parametrize("evidence", [None, 3, [], {}, {"features": ["temp"]}, {"features": None}, {"features": [{}]}])
def test_other_evidence_has_no_features(evidence: Any) -> None:
    """An alert's evidence names features as text; it is no verdict."""
    assert feature_drifts(evidence) == ()


@pytest.mark.parametrize("evidence", [None, 3, [], {}, {"results": None}, {"verdict": "passed"}])
def test_other_evidence_has_no_rules(evidence: Any) -> None:
    """Only a gate's verdict has lines."""
    assert rule_results(evidence) == ()


def test_a_gate_verdict_is_read_back_with_its_intervals() -> None:
    """One line, compared with the champion."""
    difference = {"value": 0.033, "low": 0.021, "high": 0.045, "rows": 6402}
    line = {"rule": "auc > champion.auc", "candidate": 0.694, "champion": 0.661, "passed": True, "why": "better"}
    (result,) = rule_results({"results": [{**line, "difference": difference}]})
    assert (result.rule, result.passed) == ("auc > champion.auc", True)
    assert result.difference is not None
    assert (result.difference.low, result.difference.high) == (0.021, 0.045)

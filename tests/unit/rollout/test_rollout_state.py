"""A shadow's next move, as a table of cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flyball.project.records import RolloutSettings
from flyball.rollout.state import Evidence, Rollout, next_move
from flyball.stats.estimate import Estimate

START = datetime(2013, 4, 2, 8, tzinfo=UTC)
SHADOW = Rollout(id=1, model="m", candidate=7, champion=6, status="shadow", started_at=START)
SETTINGS = RolloutSettings(strategy="shadow", min_outcomes=200, max_days=14, on_new_candidate="queue")


def seen(labelled: int, low: float = -0.01, high: float = 0.02) -> Evidence:
    difference = Estimate(value=(low + high) / 2, low=low, high=high, rows=labelled)
    return Evidence(paired=labelled + 50, labelled=labelled, difference=difference)


@pytest.mark.parametrize(
    ("evidence", "days", "greater", "to"),
    [
        (seen(199), 1, True, "wait"),
        (seen(200), 1, True, "full"),
        (seen(200, low=-0.03, high=-0.001), 1, True, "abort"),
        (seen(200, low=-0.03, high=0.0), 1, True, "full"),
        (seen(200, low=0.001, high=0.03), 1, False, "abort"),
        (seen(200, low=0.001, high=0.03), 1, True, "full"),
        (seen(10), 13.9, True, "wait"),
        (seen(10), 14, True, "abort"),
        (Evidence(paired=0, labelled=0, difference=None), 14, True, "abort"),
        (seen(200, low=float("nan"), high=float("nan")), 1, True, "full"),
    ],
)
def test_the_next_move(evidence: Evidence, days: float, greater: bool, to: str) -> None:
    """Full with enough outcomes unless worse beyond chance; aborted when undecided for max_days; else wait."""
    move = next_move(
        SHADOW, evidence, SETTINGS, metric="AUC", greater_is_better=greater, now=START + timedelta(days=days)
    )

    assert move.to == to


def test_the_reason_carries_the_numbers() -> None:
    """A person reads how many answers, which difference, which interval."""
    move = next_move(SHADOW, seen(200), SETTINGS, metric="AUC", greater_is_better=True, now=START + timedelta(days=1))

    assert move.reason == "no worse than v6 on 250 paired answers, 200 with outcomes: AUC +0.005 [-0.010, +0.020]"

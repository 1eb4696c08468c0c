"""What is said of a model that passed and was trained once more."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flyball.project.rules import parse_rule
from flyball.registry.records import Verdict
from flyball.registry.refit import MAX_DISAGREEMENT, with_refit

RULES = [parse_rule(text) for text in ("auc >= champion.auc - 0.01", "auc >= 0.6", "p99_ms <= 20", "size_mb <= 5")]
PASSED = Verdict(
    model="late",
    run="r",
    occasion="refresh",
    champion=1,
    rows=100,
    days=0,
    data_start=None,
    data_end=None,
    results=(),
    passed=True,
    at=datetime(2013, 3, 11, tzinfo=UTC),
)
FINE = {"p99_ms": 20.0, "size_mb": 1.0}


def test_what_can_be_measured_of_a_refit_is_judged_again_and_the_rest_is_said_to_stand_by_its_twin() -> None:
    """Latency and size of its own bundle; no AUC on rows it has seen."""
    verdict = with_refit(PASSED, RULES, FINE, task="binary", disagreement=0.031)
    assert verdict.passed
    assert [(item.rule, item.candidate) for item in verdict.results] == [
        ("p99_ms <= 20, refitted", 20.0),
        ("size_mb <= 5, refitted", 1.0),
        ("refit agrees with what passed", 0.031),
    ]
    assert verdict.results[-1].why == (
        "refitted on all rows; mean difference 0.031 in probability from what passed; auc >= champion.auc - 0.01, auc >= 0.6 "
        "judged on its gated twin alone, as the refit has seen the held-out rows"
    )


@pytest.mark.parametrize(
    ("measured", "disagreement", "named"),
    [
        ({**FINE, "size_mb": 5.1}, 0.0, "refitted: SIZE_MB 5.1 breaks size_mb <= 5"),
        ({"p99_ms": 1.0}, 0.0, "size_mb <= 5: size_mb cannot be judged"),
        (
            FINE,
            MAX_DISAGREEMENT + 0.001,
            "the refitted model disagrees with the one that passed the gate: mean difference 0.251",
        ),
    ],
)
def test_a_refit_that_breaks_a_floor_or_disagrees_is_refused_by_name(
    measured: dict[str, float], disagreement: float, named: str
) -> None:
    """Too large, not measured, another model."""
    verdict = with_refit(PASSED, RULES, measured, task="binary", disagreement=disagreement)
    assert not verdict.passed
    (broken,) = [item.why for item in verdict.results if not item.passed]
    assert named in broken


def test_a_regression_refit_tells_its_difference_and_is_not_barred_by_it() -> None:
    """Minutes or millions: nobody said what is much."""
    verdict = with_refit(PASSED, RULES, FINE, task="regression", disagreement=4_000.0)
    assert verdict.passed
    assert "mean difference 4000.000 from what passed" in verdict.results[-1].why

"""Concept drift: a version's windows against its promise, and changes in the stream of its errors."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flyball.monitor.concept import Concept, Grounds, judge_concept, with_changes
from flyball.monitor.streams import Change, errors_of
from flyball.stats.estimate import Estimate

START = datetime(2013, 3, 1, tzinfo=UTC)


def auc(value: float, half: float = 0.0196, rows: int = 1000) -> Estimate:
    """With a standard error of 0.01, unless said otherwise."""
    return Estimate(value=value, low=value - half, high=value + half, rows=rows)


#: fifteen days that differ by their rows' chance alone, or by 0.05 in turn.
QUIET = tuple(auc(0.75 + 0.005 * (-1) ** number) for number in range(15))
UNQUIET = tuple(auc(0.75 + 0.05 * (-1) ** number) for number in range(15))


@pytest.mark.parametrize(
    ("found", "earlier", "expected"),
    [
        (0.75, QUIET, "none"),
        (0.73, QUIET, "none"),  # 0.02: within chance
        (0.65, QUIET, "drift"),
        (0.65, UNQUIET, "none"),  # its days differ as much
        (0.70, (), "none"),  # too few days: three times as wide
        (0.50, (), "drift"),
        (0.90, QUIET, "none"),  # better is no alarm
    ],
)
def test_a_window_is_held_against_the_promise_with_the_days_own_spread(
    found: float, earlier: tuple[Estimate, ...], expected: str
) -> None:
    """Promised 0.75; at most one false alarm in 100 windows."""
    assert (
        judge_concept("auc", auc(found), Grounds(promised=auc(0.75), earlier=earlier), confidence=0.95).answer
        == expected
    )


def test_what_cannot_be_judged_is_not_none() -> None:
    """No promise, no labels, no interval."""
    grounds = Grounds(promised=auc(0.75))
    for primary, found, ground in [
        ("auc", auc(0.5), Grounds()),
        ("auc", None, grounds),
        ("auc", auc(0.5, float("nan")), grounds),
        (None, auc(0.5), grounds),
    ]:
        assert judge_concept(primary, found, ground, confidence=0.95).answer == "cannot_judge"


def test_a_significant_change_that_does_not_matter_is_none() -> None:
    """0.005 worse on very many rows."""
    sure = tuple(auc(0.75, 1e-5) for _ in range(15))
    assert (
        judge_concept("auc", auc(0.745, 1e-5), Grounds(promised=auc(0.75, 1e-5), earlier=sure), confidence=0.95).answer
        == "none"
    )


def test_only_a_confirmed_change_of_the_stream_is_drift() -> None:
    """What the detectors notice and the days' spread explains is told, and is no drift."""
    none = Concept(answer="none", why="as promised")
    change = Change(detector="adwin", at=START, before=0.1, after=0.3, confirmed=False)
    assert with_changes(none, [change]).answer == "none"
    sure = Change(detector="adwin", at=START, before=0.1, after=0.3, confirmed=True)
    assert with_changes(none, [sure]).why == "ADWIN: mean error 0.1 to 0.3 at 2013-03-01 00:00Z; as promised"


def test_errors_are_between_0_and_1() -> None:
    """Squared for probabilities; for values a share of eight medians, cut at 1."""
    assert errors_of("binary", np.array([1.0, 0.0]), np.array([0.5, 1.0])).tolist() == [0.25, 1.0]
    assert errors_of("regression", np.array([1.0, 1.0, 100.0]), np.zeros(3)).tolist() == [0.125, 0.125, 1.0]
    assert errors_of("multiclass", np.array([1.0]), np.array([[0.2, 0.8]])).tolist() == [0.0]

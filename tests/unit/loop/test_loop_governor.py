"""The governor's rulings, as a table of cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flyball.loop.governor import Past, Signal, rule
from flyball.project.records import RetrainSettings

NOW = datetime(2013, 4, 2, 8, tzinfo=UTC)
DAY = 86_400.0


def settings(**changes: object) -> RetrainSettings:
    given = {
        "on": ("schedule", "drift", "performance", "volume"),
        "new_rows": None,
        "performance": None,
        "mode": "auto",
        "cooldown_s": 10 * DAY,
        "budget": 30,
        "budget_window_s": 365 * DAY,
        "min_new_labels": 0,
    }
    return RetrainSettings(**{**given, **changes})  # type: ignore[arg-type]


def past(days: float | None = 11, **changes: object) -> Past:
    last = None if days is None else NOW - timedelta(days=days)
    given = {"last_run": last, "runs_in_budget": 1, "in_flight": False, "new_labels": 1_000}
    return Past(**{**given, **changes})  # type: ignore[arg-type]


SCHEDULE = Signal(trigger="schedule", identity="2013-04-01", why="schedule 0 4 * * 1 (Mon 04:00)")
DRIFT = Signal(trigger="drift", identity="2013-04-01", why="inputs drifted on 2013-04-01")


def test_no_signal_is_no_ruling() -> None:
    """Nothing asked, nothing ruled: quiet days leave no trace."""
    assert rule([], past(), settings(), NOW) is None


def test_a_trigger_that_is_not_listed_does_not_count() -> None:
    """`on` says which signals the governor hears."""
    assert rule([DRIFT], past(), settings(on=("schedule",)), NOW) is None


def test_drift_outranks_the_schedule_of_the_same_moment() -> None:
    """Several signals at once make one retrain, named after the weightiest."""
    ruling = rule([SCHEDULE, DRIFT], past(), settings(), NOW)

    assert ruling is not None
    assert (ruling.act, ruling.signal, ruling.reason) == (
        "retrain",
        DRIFT,
        "inputs drifted on 2013-04-01; 11 days since the last run",
    )


@pytest.mark.parametrize(
    ("before", "changes", "reason"),
    [
        (past(3), {}, "3 days since the last run, cooldown is 10 days"),
        (past(3, last_refused=True), {}, "3 days since the last run, cooldown is 5 days after a refusal"),
        (past(11, in_flight=True), {}, "a run is under way"),
        (past(11, runs_in_budget=30), {}, "30 runs in 365 days, the budget is 30"),
        (past(11, new_labels=20), {"min_new_labels": 500}, "20 new outcomes since the last run, 500 are needed"),
        (past(11), {"mode": "off"}, "mode = off"),
    ],
)
def test_every_obstacle_is_named(before: Past, changes: dict[str, object], reason: str) -> None:
    """A signal that is held back says what held it."""
    ruling = rule([DRIFT], before, settings(**changes), NOW)

    assert ruling is not None
    assert (ruling.act, ruling.reason) == ("hold", f"inputs drifted on 2013-04-01; not retrained: {reason}")


def test_exactly_the_cooldown_is_enough() -> None:
    """The boundary belongs to the retrain."""
    ruling = rule([DRIFT], past(10), settings(), NOW)

    assert ruling is not None
    assert ruling.act == "retrain"


def test_after_a_refusal_half_the_cooldown_is_enough() -> None:
    """Nothing was changed by it, so the world is followed sooner."""
    ruling = rule([SCHEDULE], past(5, last_refused=True), settings(), NOW)

    assert ruling is not None
    assert ruling.act == "retrain"


def test_suggest_only_says_so() -> None:
    """mode = suggest never retrains by itself."""
    ruling = rule([DRIFT], past(), settings(mode="suggest"), NOW)

    assert ruling is not None
    assert ruling.act == "suggest"


def test_thirty_days_of_alarms_stay_within_cooldown_and_budget() -> None:
    """Constant drift for 30 days, cooldown 10 days, budget 2: two retrains, 28 rulings to hold."""
    acts, runs = [], []
    for day in range(30):
        now = NOW + timedelta(days=day)
        before = Past(last_run=runs[-1] if runs else None, runs_in_budget=len(runs), in_flight=False, new_labels=0)
        ruling = rule([DRIFT], before, settings(budget=2), now)
        assert ruling is not None
        acts.append(ruling.act)
        if ruling.act == "retrain":
            runs.append(now)

    assert (acts.count("retrain"), acts.count("hold")) == (2, 28)

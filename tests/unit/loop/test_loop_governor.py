"""The governor's rulings, as a table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import hypothesis
import pytest
from hypothesis import strategies as st

from flyball.loop.governor import Past, Signal, rows_wanted, rule
from flyball.project.records import RetrainSettings

NOW = datetime(2013, 4, 2, 8, tzinfo=UTC)
DAY = 86_400.0
TRIGGERS = ("schedule", "drift", "performance", "volume")


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
        (past(11, held="frozen by ada"), {}, "frozen by ada"),
        (past(11, broken="x1 is missing"), {}, "x1 is missing; nothing is learnt from broken data"),
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


@pytest.mark.parametrize(
    ("changes", "trained", "refused", "wanted"),
    [
        ({}, 50_000, False, None),
        ({"new_rows": 10_000}, 50_000, False, 10_000),
        ({"new_rows": 10_000}, 50_000, True, 10_000),
        ({"new_rows_share": 0.13}, 50_000, False, 6_500),
        ({"new_rows_share": 0.13}, 200_000, False, 26_000),
        ({"new_rows_share": 0.13}, 50_000, True, 3_250),
        ({"new_rows_share": 0.13}, 0, False, 1),
    ],
)
def test_a_share_of_what_was_learnt_from_is_wanted(
    changes: dict[str, object], trained: int, refused: bool, wanted: int | None
) -> None:
    """A count is a count; a share grows with the rows learnt from, and is half after a refusal."""
    assert rows_wanted(settings(**changes), trained, last_refused=refused) == wanted


def lived(given: RetrainSettings, asked: Sequence[Sequence[Signal]], refused: Sequence[bool]) -> list[datetime]:
    """When runs began in as many days, each with its signals; whose candidate was refused is given run by run."""
    runs: list[datetime] = []
    for day, signals in enumerate(asked):
        now = NOW + timedelta(days=day)
        window = now - timedelta(seconds=given.budget_window_s)
        before = Past(
            last_run=runs[-1] if runs else None,
            last_refused=bool(runs) and refused[(len(runs) - 1) % len(refused)],
            runs_in_budget=sum(run > window for run in runs),
            in_flight=False,
            new_labels=1_000,
        )
        ruling = rule(signals, before, given, now)
        if ruling is not None and ruling.act == "retrain":
            runs.append(now)
    return runs


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cooldown_s": 0.0, "budget": 5}, 5),
        ({"cooldown_s": 0.0, "budget": 3, "budget_window_s": 10 * DAY}, 9),
        ({"cooldown_s": 7 * DAY, "budget": 30}, 5),
        ({"cooldown_s": 7 * DAY, "budget": 2}, 2),
        ({"mode": "suggest"}, 0),
        ({"mode": "off"}, 0),
    ],
)
def test_thirty_days_of_constant_alarms_stay_within_the_budget(changes: dict[str, object], expected: int) -> None:
    """Drift and a broken promise every day: budget and cooldown say how many runs, not the alarms."""
    alarms = [DRIFT, Signal(trigger="performance", identity="day", why="promise broken")]
    assert len(lived(settings(**changes), [alarms] * 30, [False])) == expected


SIGNALS = st.lists(
    st.builds(Signal, trigger=st.sampled_from(TRIGGERS), identity=st.just("x"), why=st.just("why")), max_size=3
)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    asked=st.lists(SIGNALS, min_size=1, max_size=60),
    refused=st.lists(st.booleans(), min_size=1, max_size=5),
    cooldown=st.integers(0, 20),
    budget=st.integers(1, 5),
    span=st.integers(1, 40),
)
def test_no_history_of_signals_breaks_cooldown_or_budget(
    asked: list[list[Signal]], refused: list[bool], cooldown: int, budget: int, span: int
) -> None:
    """Whatever is asked: runs are a cooldown apart (half after a refusal), and never more than the budget in its window."""
    given = settings(cooldown_s=cooldown * DAY, budget=budget, budget_window_s=span * DAY)
    runs = lived(given, asked, refused)
    for number, (one, other) in enumerate(pairwise(runs)):
        least = cooldown / 2 if refused[number % len(refused)] else cooldown
        assert other - one >= timedelta(days=least)
    for end in runs:
        assert sum(end - timedelta(days=span) < run <= end for run in runs) <= budget


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    asked=SIGNALS,
    mode=st.sampled_from(["auto", "suggest", "off"]),
    held=st.sampled_from([None, "frozen"]),
    broken=st.sampled_from([None, "x1 is missing"]),
    in_flight=st.booleans(),
)
def test_every_signal_is_answered_with_a_reason(
    asked: list[Signal], mode: str, held: str | None, broken: str | None, in_flight: bool
) -> None:
    """No signal, no ruling; any signal, one ruling with words, and a retrain only where nothing stands against it."""
    ruling = rule(asked, past(held=held, broken=broken, in_flight=in_flight), settings(mode=mode), NOW)
    assert (ruling is None) == (not asked)
    if ruling is not None:
        assert ruling.signal in asked
        assert ruling.reason.startswith("why; ")
        free = held is None and broken is None and not in_flight
        assert (ruling.act == "retrain") == (free and mode == "auto")
        assert (ruling.act == "suggest") == (free and mode == "suggest")

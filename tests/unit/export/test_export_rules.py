"""What the rules are made of: limits from the project, spans from the interval."""

from __future__ import annotations

import pytest

from flyball.export.records import Watched
from flyball.export.rules import alerting_rules, recording_rules, span

CHURN = Watched(model="churn", p99_s=0.05, p99_from="p99_ms <= 50", promise="auc < 0.9")
LATE = Watched(model="late", p99_s=10.0, p99_from="[serving] timeout_s = 30", promise=None)


def rule(name: str, *models: Watched, interval_s: int = 15) -> list[dict[str, object]]:
    return [item for item in alerting_rules(models, interval_s) if item["alert"] == name]


@pytest.mark.parametrize(("seconds", "text"), [(15, "15s"), (60, "1m"), (90, "90s"), (300, "5m"), (3600, "1h")])
def test_spans_are_written_in_their_largest_whole_unit(seconds: int, text: str) -> None:
    """As Prometheus reads them."""
    assert span(seconds) == text


def test_each_model_has_a_limit_of_its_own() -> None:
    """Its gate's, or the time after which its server gives up."""
    found = rule("FlyballLatency", CHURN, LATE)
    assert [item["expr"] for item in found] == [
        'model_variant:flyball_request_seconds:p99{model="churn",variant="live"} >= 0.05',
        'model_variant:flyball_request_seconds:p99{model="late",variant="live"} >= 10',
    ]


@pytest.mark.parametrize(("interval_s", "limit_s"), [(1, 45), (5, 45), (15, 120), (60, 480)])
def test_the_loop_is_silent_after_three_renewals_at_the_soonest(interval_s: int, limit_s: int) -> None:
    """It renews its lease every 15 s, however often Prometheus looks."""
    expr = f"time() - max(flyball_loop_last_tick_seconds) > {limit_s}"
    assert [item["expr"] for item in rule("FlyballLoopSilent", interval_s=interval_s)] == [expr]


def test_promises_stand_in_the_runbook_of_those_who_made_one() -> None:
    """And nothing is said of the others."""
    (found,) = rule("FlyballPerformance", CHURN, LATE)
    assert str(found["annotations"]).count("Broken when: churn: auc < 0.9.") == 1
    (found,) = rule("FlyballPerformance", LATE)
    assert "Broken when" not in str(found["annotations"])


def test_every_alert_says_what_to_do_and_for_whom() -> None:
    """A runbook line each; a severity, or the one that Flyball gave, which is a label of the series."""
    for item in alerting_rules([CHURN], 15):
        assert set(item["annotations"]) == {"summary", "runbook"}
        passed_on = "flyball_alerts_firing" in item["expr"]
        assert ("labels" not in item) == passed_on
        assert passed_on or item["labels"]["severity"] in ("critical", "warning")


def test_rates_look_back_over_twenty_scrapes() -> None:
    """Long enough for a rate at any interval."""
    assert "[5m]" in recording_rules(15)[0]["expr"]
    assert "[20s]" in recording_rules(1)[0]["expr"]

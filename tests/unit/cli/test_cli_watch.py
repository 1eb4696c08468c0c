"""Verbs that look at windows, decisions and alerts, over rows as the loop leaves them."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from flyball.registry.decisions import decide
from flyball.store import stamp
from tests.unit.cli.conftest import Told, day


def answered(told: Told, *words: str) -> Any:
    result = told(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def watched(told: Told) -> Told:
    """One drift window and one performance window of 2 April, one of 3 April."""
    drift = {
        "features": [
            {"feature": "dest", "verdict": "steady", "why": "", "statistics": {}},
            {
                "feature": "temp",
                "verdict": "drift",
                "why": "mean moved",
                "statistics": {"psi": {"value": 0.31, "threshold": 0.12, "null_mean": 0.02}},
            },
        ]
    }
    with told.database.write() as tx:
        for kind, start, end, verdict, evidence in [
            ("drift", "04-02", "04-03", "drift", drift),
            ("performance", "04-02", "04-03", "kept", {}),
            ("drift", "04-03", "04-04", "steady", {"features": drift["features"][:1]}),
        ]:
            tx.run(
                'INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence)'
                " VALUES ('flight-delay', :kind, :start, :ends, 2, :verdict, 800, :ends, :evidence)",
                kind=kind,
                start=f"2013-{start}T00:00:00.000000Z",
                ends=f"2013-{end}T00:00:00.000000Z",
                verdict=verdict,
                evidence=orjson.dumps(evidence).decode(),
            )
        tx.run(
            "INSERT INTO metrics_daily (model, version, variant, date, metric, value, low, high, rows)"
            " VALUES ('flight-delay', 2, 'live', '2013-04-02', 'auc', 0.71, 0.69, 0.73, 800)"
        )
    return told


def test_monitor_lists_windows_with_what_moved(watched: Told) -> None:
    """A drift window names the features that moved; a performance window its metrics with their intervals."""
    found = answered(watched, "monitor", "flight-delay")["windows"]
    assert sorted((item["kind"], item["verdict"]) for item in found) == [
        ("drift", "drift"),
        ("drift", "steady"),
        ("performance", "kept"),
    ]
    text = watched("monitor", "flight-delay").stdout
    assert "temp moved, 1 steady" in text
    assert "auc 0.710 [0.690, 0.730]" in text


@pytest.mark.parametrize(("words", "count"), [(["--drift"], 2), (["--performance"], 1), (["--date", "2013-04-02"], 2)])
def test_monitor_can_be_asked_for_one_kind_or_one_day(watched: Told, words: list[str], count: int) -> None:
    """--drift, --performance and --date leave out the others."""
    assert len(answered(watched, "monitor", "flight-delay", *words)["windows"]) == count


def test_a_day_is_shown_feature_by_feature(watched: Told) -> None:
    """Each statistic beside the bound it is held against; below them why it alarms."""
    *_, statistic, why = watched("monitor", "flight-delay", "--date", "2013-04-02", "--drift").stdout.splitlines()
    assert statistic.split() == ["temp", "drift", "psi", "0.31", "0.12"]
    assert why == "temp: mean moved"


def test_a_day_nobody_judged_says_so(watched: Told) -> None:
    """No window is not a steady window."""
    assert watched("monitor", "flight-delay", "--date", "2013-05-01").stdout == "no window of that day was judged\n"


def test_decisions_to_wait_are_listed_too(told: Told) -> None:
    """What was decided and not done has its reason."""
    with told.database.write() as tx:
        decide(
            tx,
            model="flight-delay",
            at=day("04-05"),
            kind="retrain",
            subject="2013-04-05",
            verdict="wait",
            reason="cooldown ends 2013-04-06",
            evidence={},
            dedup="wait",
        )
    found = answered(told, "decisions", "flight-delay")["decisions"]
    assert [item["verdict"] for item in found] == ["refused", "wait", "passed", "passed"]
    assert [
        item["verdict"] for item in answered(told, "decisions", "flight-delay", "--kind", "retrain")["decisions"]
    ] == ["wait"]
    assert "cooldown ends 2013-04-06" in told("decisions", "flight-delay").stdout


def test_alerts_that_have_ended_are_shown_only_when_asked_for(told: Told) -> None:
    """`flyball alerts` is what wants a person now."""
    with told.database.write() as tx:
        for name, resolved in (("drift", None), ("performance", stamp(day("04-04")))):
            tx.run(
                "INSERT INTO alert (model, name, severity, since, resolved_at, title, evidence)"
                " VALUES ('flight-delay', :name, 'warning', :since, :resolved, 'temp moved', '{}')",
                name=name,
                since=stamp(day("04-02")),
                resolved=resolved,
            )
    assert [item["name"] for item in answered(told, "alerts")["alerts"]] == ["drift"]
    assert {item["name"] for item in answered(told, "alerts", "--all")["alerts"]} == {"drift", "performance"}
    assert told("alerts").stdout.splitlines()[1].split("  ")[1:4] == ["2013-04-02 12:00Z", "warning", " flight-delay"]


@pytest.mark.parametrize("verb", ["monitor", "decisions", "rollout", "rollback"])
def test_an_unknown_model_names_those_there_are(told: Told, verb: str) -> None:
    """Exit 2; a typo must not look like a quiet model."""
    result = told(verb, "fligth-delay")
    assert result.exit_code == 2
    assert "no model 'fligth-delay' here (there is: flight-delay)" in result.stderr

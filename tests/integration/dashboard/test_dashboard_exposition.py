"""The control plane's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from flyball.dashboard.exposition import exposition
from flyball.store import Database, Home, open_database
from flyball.store.lease import hold


@pytest.fixture
def lines(lived: Home) -> Iterator[list[str]]:
    opened = open_database(lived)
    yield exposition(opened).decode().splitlines()
    opened.close()


def test_each_statistic_of_the_newest_window_is_a_gauge(lines: list[str]) -> None:
    """Ten features by two statistics."""
    assert 'flyball_drift_score{feature="temp",method="psi",model="churn"} 0.02' in lines
    assert sum(line.startswith("flyball_drift_score{") for line in lines) == 20


def test_performance_is_that_of_the_newest_day_with_outcomes(lines: list[str]) -> None:
    """One version, three metrics."""
    assert 'flyball_performance{metric="brier",model="churn",version="2"} 0.17' in lines
    assert sum(line.startswith("flyball_performance{") for line in lines) == 3


def test_windows_shorter_than_a_day_are_one_series(database: Database) -> None:
    """Of three in a day, the last."""
    with database.write() as tx:
        tx.run("INSERT INTO project (name, directory, added_at) VALUES ('churn', 'p', '2013-07-01T00:00:00.000000Z')")
        for minute, value in ((0, 0.7), (20, 0.8), (40, 0.9)):
            tx.run(
                "INSERT INTO metrics_daily (model, version, variant, date, metric, value, low, high, rows)"
                " VALUES ('churn', 1, 'live', :date, 'auc', :value, NULL, NULL, 50)",
                date=f"2013-07-01T12:{minute:02}Z",
                value=value,
            )
    found = [line for line in exposition(database).decode().splitlines() if line.startswith("flyball_performance{")]
    assert found == ['flyball_performance{metric="auc",model="churn",version="1"} 0.9']


def test_the_interval_of_a_metric_is_told_beside_it(lines: list[str]) -> None:
    """Its two ends, as gauges of their own."""
    ends = [line for line in lines if line.startswith(("flyball_performance_low{", "flyball_performance_high{"))]
    assert len(ends) == 6
    assert all('version="2"' in line for line in ends)


def test_each_feature_has_the_verdict_of_the_newest_window(lines: list[str]) -> None:
    """1 where it drifted."""
    found = [line for line in lines if line.startswith("flyball_drift_alarm{")]
    assert len(found) == 10
    assert {line.rsplit(" ", 1)[1] for line in found} <= {"0.0", "1.0"}


def test_results_that_have_not_come_yet_are_counted_as_none(lines: list[str]) -> None:
    """So that the first failed run is an increase, from 0 to 1."""
    assert 'flyball_retrains_total{model="churn",result="failed"} 0.0' in lines


def test_open_alerts_fire(lines: list[str]) -> None:
    """One per open alert."""
    assert 'flyball_alerts_firing{model="churn",name="performance",severity="critical"} 1.0' in lines


def test_finished_runs_are_counted_by_result(database: Database) -> None:
    """A running one is no result yet."""
    with database.write() as tx:
        for number, status in enumerate(("released", "released", "refused", "running")):
            tx.run(
                "INSERT INTO run (id, project, model, reason, why, decided_at, window_end, params, seed, status, owner,"
                " recorded_at) VALUES (:id, 'p', 'churn', 'drift', '', '', '', '{}', 7, :status, '', '')",
                id=str(number),
                status=status,
            )
    text = exposition(database).decode()
    assert 'flyball_retrains_total{model="churn",result="released"} 2.0' in text
    assert 'flyball_retrains_total{model="churn",result="refused"} 1.0' in text
    assert "running" not in text


def test_the_loops_last_sign_of_life_is_a_time(database: Database) -> None:
    """Absent without a loop, so that `absent()` can alarm."""
    assert "\nflyball_loop_last_tick_seconds " not in exposition(database).decode()
    hold(database, "loop", "host:7", now=datetime(2013, 7, 1, tzinfo=UTC), for_s=60)
    assert "flyball_loop_last_tick_seconds 1.3726368e+09" in exposition(database).decode()

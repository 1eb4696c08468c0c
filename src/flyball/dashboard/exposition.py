"""The control plane's Prometheus metrics, computed from the database when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flyball.dashboard import reads
from flyball.store import Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: what a finished run may have come to.
RESULTS = ("failed", "refused", "released")


class FleetMetrics(Collector):
    """What the database says now."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def collect(self) -> Iterator[Metric]:
        models = reads.model_names(self.database)
        yield from _drift(self.database, models)
        yield from _performance(self.database, models)
        yield _alerts(self.database)
        yield _retrains(self.database, models)
        yield _last_tick(self.database)


def exposition(database: Database) -> bytes:
    """The text that Prometheus scrapes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetMetrics(database))
    return generate_latest(registry)


def _drift(database: Database, models: list[str]) -> Iterator[Metric]:
    score = GaugeMetricFamily(
        "flyball_drift_score", "Drift statistic of the newest window", labels=["model", "feature", "method"]
    )
    alarm = GaugeMetricFamily(
        "flyball_drift_alarm", "1 where the newest window says that the feature drifted", labels=["model", "feature"]
    )
    for model in models:
        for window in reads.windows(database, model, kind="drift", limit=1):
            for item in window.features:
                alarm.add_metric([model, item.feature], float(item.verdict == "drift"))
                for statistic in item.statistics:
                    if statistic.value is not None:
                        score.add_metric([model, item.feature, statistic.method], statistic.value)
    yield from (score, alarm)


def _performance(database: Database, models: list[str]) -> Iterator[Metric]:
    """The value, and the ends of its interval where it has one."""
    labels = ["model", "version", "metric"]
    value = GaugeMetricFamily("flyball_performance", "Metric of the newest day with outcomes", labels=labels)
    low = GaugeMetricFamily("flyball_performance_low", "Lower end of that metric's interval", labels=labels)
    high = GaugeMetricFamily("flyball_performance_high", "Upper end of that metric's interval", labels=labels)
    for model in models:
        for metric, days in reads.daily_metrics(database, model, days=30).items():
            # Of several windows in a day the last one counts: a series stands here once.
            newest = {item.version: item for item in days if item.day == days[-1].day}
            for item in newest.values():
                named = [model, str(item.version), metric]
                value.add_metric(named, item.value)
                if item.low is not None:
                    low.add_metric(named, item.low)
                if item.high is not None:
                    high.add_metric(named, item.high)
    yield from (value, low, high)


def _alerts(database: Database) -> Metric:
    family = GaugeMetricFamily("flyball_alerts_firing", "Open alerts", labels=["model", "name", "severity"])
    for item in reads.alerts(database, still_open=True, limit=10_000):
        family.add_metric([item.model, item.name, item.severity], 1)
    return family


def _retrains(database: Database, models: list[str]) -> Metric:
    family = CounterMetricFamily("flyball_retrains", "Finished runs by result", labels=["model", "result"])
    # A counter that begins at 1 hides its first event from increase(): every result is there from the start.
    counts = {(model, result): 0 for model in models for result in RESULTS}
    rows = database.all("SELECT model, status, count(*) AS runs FROM run WHERE status <> 'running' GROUP BY 1, 2")
    counts |= {(row["model"], row["status"]): row["runs"] for row in rows}
    for labels, runs in sorted(counts.items()):
        family.add_metric(list(labels), runs)
    return family


def _last_tick(database: Database) -> Metric:
    family = GaugeMetricFamily(
        "flyball_loop_last_tick_seconds", "When the loop last renewed its lease, seconds since 1970"
    )
    lease = reads.loop(database)
    if lease is not None:
        family.add_metric([], lease.renewed_at.timestamp())
    return family

"""The control plane's Prometheus metrics, computed from the database when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flyball.dashboard import reads
from flyball.store import Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class FleetMetrics(Collector):
    """What the database says now."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def collect(self) -> Iterator[Metric]:
        models = reads.model_names(self.database)
        yield _drift(self.database, models)
        yield _performance(self.database, models)
        yield _alerts(self.database)
        yield _retrains(self.database)
        yield _last_tick(self.database)


def exposition(database: Database) -> bytes:
    """The text that Prometheus scrapes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetMetrics(database))
    return generate_latest(registry)


def _drift(database: Database, models: list[str]) -> Metric:
    family = GaugeMetricFamily(
        "flyball_drift_score", "Drift statistic of the newest window", labels=["model", "feature", "method"]
    )
    for model in models:
        for window in reads.windows(database, model, kind="drift", limit=1):
            for item in window.features:
                for statistic in item.statistics:
                    if statistic.value is not None:
                        family.add_metric([model, item.feature, statistic.method], statistic.value)
    return family


def _performance(database: Database, models: list[str]) -> Metric:
    family = GaugeMetricFamily(
        "flyball_performance", "Metric of the newest day with outcomes", labels=["model", "version", "metric"]
    )
    for model in models:
        for metric, days in reads.daily_metrics(database, model, days=30).items():
            for item in days:
                if item.day == days[-1].day:
                    family.add_metric([model, str(item.version), metric], item.value)
    return family


def _alerts(database: Database) -> Metric:
    family = GaugeMetricFamily("flyball_alerts_firing", "Open alerts", labels=["model", "name", "severity"])
    for item in reads.alerts(database, still_open=True, limit=10_000):
        family.add_metric([item.model, item.name, item.severity], 1)
    return family


def _retrains(database: Database) -> Metric:
    family = CounterMetricFamily("flyball_retrains", "Finished runs by result", labels=["model", "result"])
    rows = database.all("SELECT model, status, count(*) AS runs FROM run WHERE status <> 'running' GROUP BY 1, 2")
    for row in rows:
        family.add_metric([row["model"], row["status"]], row["runs"])
    return family


def _last_tick(database: Database) -> Metric:
    family = GaugeMetricFamily(
        "flyball_loop_last_tick_seconds", "When the loop last renewed its lease, seconds since 1970"
    )
    lease = reads.loop(database)
    if lease is not None:
        family.add_metric([], lease.renewed_at.timestamp())
    return family

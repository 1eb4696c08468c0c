"""The scrape configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from flyball.errors import Mistake
from flyball.export.prometheus import prometheus_files
from flyball.export.records import Scrape, Watched

CHURN = Watched(model="churn", p99_s=0.05, p99_from="p99_ms <= 50", promise=None)
SCRAPE = Scrape(
    serving=("http://a:8080", "http://b:8080"),
    control="https://fleet.example.org",
    alertmanagers=("am:9093",),
    interval_s=15,
)


def config(scrape: Scrape) -> Any:
    return yaml.safe_load(prometheus_files([CHURN], scrape)["prometheus.yml"])


def test_both_planes_are_scraped_each_by_its_scheme() -> None:
    """All data planes in one job, the control plane in another, with its token named by file."""
    serving, control = config(SCRAPE)["scrape_configs"]
    assert (serving["job_name"], serving["scheme"]) == ("flyball-serving", "http")
    assert serving["static_configs"] == [{"targets": ["a:8080", "b:8080"]}]
    assert "authorization" not in serving
    assert (control["job_name"], control["scheme"]) == ("flyball-control", "https")
    assert control["static_configs"] == [{"targets": ["fleet.example.org"]}]
    assert control["authorization"] == {"type": "Bearer", "credentials_file": "flyball.token"}


def test_a_scrape_takes_no_longer_than_the_time_to_the_next() -> None:
    """Prometheus refuses another configuration."""
    assert config(replace(SCRAPE, interval_s=2))["global"]["scrape_timeout"] == "2s"
    assert config(replace(SCRAPE, interval_s=60))["global"]["scrape_timeout"] == "10s"


@pytest.mark.parametrize("address", ["a:8080", "ftp://a", "http://", "http://a/metrics", "http://me:secret@a:80"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """A password too: it would stand in the file."""
    with pytest.raises(Mistake, match="is no address to scrape"):
        config(replace(SCRAPE, control=address))


def test_one_job_has_one_scheme() -> None:
    """Two would need two jobs under one name."""
    with pytest.raises(Mistake, match="some are http and some https"):
        config(replace(SCRAPE, serving=("http://a", "https://b")))


def test_the_same_records_are_the_same_bytes() -> None:
    """Nothing of the time or the machine gets in."""
    assert prometheus_files([CHURN], SCRAPE) == prometheus_files([replace(CHURN)], replace(SCRAPE))

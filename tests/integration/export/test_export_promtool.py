"""The exported rules and configuration, judged by Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from flyball.export.prometheus import prometheus_files
from flyball.export.records import Scrape, Watched

PROMTOOL = shutil.which("promtool")
RULES_TEST = Path(__file__).with_name("rules_test.yml")
CHURN = Watched(model="churn", p99_s=0.05, p99_from="p99_ms <= 50", promise="auc < 0.9")

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


def write(folder: Path, interval_s: int) -> Path:
    scrape = Scrape(
        serving=("http://a:8080",), control="http://a:8000", alertmanagers=("a:9093",), interval_s=interval_s
    )
    for name, text in prometheus_files([CHURN], scrape).items():
        (folder / name).write_text(text)
    return folder


def promtool(folder: Path, *words: str) -> str:
    done = subprocess.run([PROMTOOL or "", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("interval_s", [1, 15, 300])
def test_rules_and_configuration_are_valid(tmp_path: Path, interval_s: int) -> None:
    """At the shortest, the usual and the longest interval; the token's file is there, as the configuration names it."""
    folder = write(tmp_path, interval_s)
    (folder / "flyball.token").write_text("secret")
    assert "is valid prometheus config file syntax" in promtool(folder, "check", "config", "prometheus.yml")
    assert "23 rules found" in promtool(folder, "check", "rules", "flyball.rules.yml")


def test_each_rule_does_what_it_says(tmp_path: Path) -> None:
    """Every alert fires when it should, is silent when it should, and says the words it should: rules_test.yml."""
    folder = write(tmp_path, 15)
    shutil.copy(RULES_TEST, folder)
    assert "SUCCESS" in promtool(folder, "test", "rules", RULES_TEST.name)


def test_every_alert_has_its_case() -> None:
    """A rule without a case in rules_test.yml is a guess."""
    from flyball.export.rules import alerting_rules

    names = {rule["alert"] for rule in alerting_rules([CHURN], 15)}
    text = RULES_TEST.read_text()
    assert {name for name in names if name not in text} == set()

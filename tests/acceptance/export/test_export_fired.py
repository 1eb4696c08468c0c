"""What is exported, in the tools it is for: rules fire and end, every query of the dashboards finds what it asks for."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyball.export.rules import recording_rules
from tests.acceptance.cli.shell import flyball, until
from tests.acceptance.demo.conftest import processes
from tests.acceptance.export.conftest import Fleet, answers

pytestmark = pytest.mark.slow

#: Grafana's own packages: `.ci/run` gives them an environment beside this one.
GRAFANA = Path(sys.prefix) / "tools" / "grafana" / "bin" / "python"
CHOSEN = {"$model": "churn", "$metric": "auc", "$method": "psi", "$__rate_interval": "10s"}

#: What Grafana's classes read and write again, without what they know nothing of.
ROUND_TRIP = """
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
for name in sys.argv[1:]:
    read = Dashboard.from_json(json.load(open(name)))
    print(JSONEncoder(sort_keys=True).encode(read))
"""


@contextmanager
def stopped(fleet: Fleet, module: str) -> Iterator[None]:
    """A process that hangs for as long as the block: it is there, and does nothing."""
    (found,) = processes(module, str(fleet.project))
    os.kill(found, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(found, signal.SIGCONT)


def test_a_loop_that_hangs_reaches_a_person_and_its_return_too(fleet: Fleet) -> None:
    """Stopped, it renews no lease: within a minute the listener behind Alertmanager knows, and later that it is over."""
    until(lambda: bool(answers(fleet, "flyball_loop_last_tick_seconds")))
    assert fleet.firing("FlyballLoopSilent") is None
    with stopped(fleet, "flyball.loop.process"):
        until(lambda: fleet.firing("FlyballLoopSilent") is not None)
        assert (fleet.firing("FlyballLoopSilent") or {})["severity"] == "critical"
    until(lambda: fleet.firing("FlyballLoopSilent") is None)


def test_a_data_plane_that_hangs_is_told(fleet: Fleet) -> None:
    """No answer to the scrape: down; and it is over when it answers again."""
    until(lambda: bool(answers(fleet, 'up{job="flyball-serving"} == 1')))
    with stopped(fleet, "flyball.serving.worker"):
        until(lambda: fleet.firing("FlyballServingDown") is not None)
    until(lambda: fleet.firing("FlyballServingDown") is None)


def test_drift_that_flyball_found_is_passed_on(fleet: Fleet) -> None:
    """With the model and the severity that Flyball gave it."""
    until(lambda: fleet.firing("FlyballDrift") is not None)
    told = fleet.firing("FlyballDrift") or {}
    assert (told["model"], told["name"]) == ("churn", "drift")
    (found,) = [item for item in flyball(fleet.project, "alerts")["alerts"] if item["name"] == "drift"]
    assert told["severity"] == found["severity"]


def test_every_recorded_series_is_recorded(fleet: Fleet) -> None:
    """None of the rules asks for what is not there."""
    for rule in recording_rules(1):
        until(lambda rule=rule: bool(answers(fleet, rule["record"])))


def test_every_query_of_the_dashboards_finds_something(fleet: Fleet) -> None:
    """Traffic, shadow, drift, performance with its interval, alerts: nothing in this fleet's life is empty."""
    assert flyball(fleet.project, "export", "grafana")["written"]
    dashboards = [json.loads(path.read_text()) for path in (fleet.project / "grafana").rglob("*.json")]
    queries = {item["expr"] for document in dashboards for panel in document["panels"] for item in panel["targets"]}
    assert len(queries) > 25
    for query in sorted(queries):
        for name, value in CHOSEN.items():
            query = query.replace(name, value)
        assert "$" not in query
        until(lambda query=query: bool(answers(fleet, query)))


def test_every_variable_of_the_dashboards_has_a_choice(fleet: Fleet) -> None:
    """The label it is taken from is there."""
    flyball(fleet.project, "export", "grafana", "again")
    document = json.loads((fleet.project / "again/dashboards/flyball/model.json").read_text())
    asked = [item["query"]["query"] for item in document["templating"]["list"] if item["type"] == "query"]
    assert len(asked) == 3
    for text in asked:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
        assert found is not None
        series = found[1].replace("$model", "churn")
        until(lambda series=series, label=found[2]: bool(answers(fleet, f"count by ({label}) ({series})")))


def test_the_dashboards_hold_nothing_that_grafana_does_not_know(fleet: Fleet) -> None:
    """Its own classes read them and write them again: a key that gets lost on the way was a typing error."""
    if not GRAFANA.exists():
        pytest.skip(f"grafana-foundation-sdk is not installed: no {GRAFANA.relative_to(sys.prefix)} in the environment")
    flyball(fleet.project, "export", "grafana", "read")
    paths = sorted((fleet.project / "read").rglob("*.json"))
    argv = [str(GRAFANA), "-c", ROUND_TRIP, *map(str, paths)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        assert lost(json.loads(path.read_text()), json.loads(line)) == []


def lost(ours: object, theirs: object, at: str = "") -> list[str]:
    """Paths of what `ours` holds and `theirs` does not."""
    if isinstance(ours, dict):
        if not isinstance(theirs, dict):
            return [at]
        missing = [f"{at}.{key}" for key in ours if key not in theirs]
        return missing + [path for key in ours if key in theirs for path in lost(ours[key], theirs[key], f"{at}.{key}")]
    if isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            return [at]
        return [path for number, item in enumerate(ours) for path in lost(item, theirs[number], f"{at}[{number}]")]
    return [] if ours == theirs else [at]

"""The dashboards, as Grafana reads them."""

from __future__ import annotations

import json
from typing import Any

import yaml

from flyball.export.grafana import grafana_files
from flyball.export.records import Watched

CHURN = Watched(model="churn", p99_s=0.05, p99_from="p99_ms <= 50", promise=None)
FILES = grafana_files([CHURN], "http://prometheus:9090/$x")


def dashboard(name: str) -> Any:
    return json.loads(FILES[f"dashboards/flyball/{name}.json"])


def test_panels_fill_rows_of_twenty_four_without_overlap() -> None:
    """No cell of the grid belongs to two panels."""
    for name in ("fleet", "model"):
        cells: set[tuple[int, int]] = set()
        for panel in dashboard(name)["panels"]:
            at = panel["gridPos"]
            taken = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not taken & cells, panel["title"]
            cells |= taken


def test_every_panel_asks_the_chosen_source_and_says_what_it_shows() -> None:
    """Ids are unique within a dashboard, letters within a panel."""
    for name in ("fleet", "model"):
        panels = dashboard(name)["panels"]
        assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
        for panel in panels:
            assert panel["description"].endswith(".")
            assert [item["refId"] for item in panel["targets"]] == list("ABC"[: len(panel["targets"])])
            assert {item["datasource"]["uid"] for item in panel["targets"]} == {"${source}"}


def test_the_model_dashboard_asks_for_the_chosen_model() -> None:
    """It opens with the first; what belongs to no model says so in its description."""
    document = dashboard("model")
    (variable,) = [item for item in document["templating"]["list"] if item["name"] == "model"]
    assert variable["current"]["value"] == "churn"
    for panel in document["panels"]:
        queries = [item["expr"] for item in panel["targets"]]
        assert all('model="$model"' in query for query in queries) or "(all models)" in panel["description"]


def test_provisioning_finds_dashboards_and_source() -> None:
    """A dollar in an address is not taken for a variable."""
    provider = yaml.safe_load(FILES["dashboards/flyball.yaml"])["providers"][0]
    assert (provider["type"], provider["options"]["path"].rsplit("/", 1)[1]) == ("file", "flyball")
    source = yaml.safe_load(FILES["datasources/flyball.yaml"])["datasources"][0]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090/$$x")

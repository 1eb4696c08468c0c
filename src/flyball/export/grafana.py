"""Files for Grafana: dashboards as it stores them (classic model, schema 42) and the YAML that provisions them.

The queries ask for Flyball's own series, so that the dashboards work without the recording rules.
Form: https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flyball.export.panels import Panel, fleet_panels, model_panels
from flyball.export.prometheus import as_yaml
from flyball.export.records import Files, Watched

#: the data source's name within Grafana.
SOURCE = "flyball-prometheus"
#: where the JSON lies once DIR is copied into Grafana's provisioning folder.
JSON_FOLDER = "/etc/grafana/provisioning/dashboards/flyball"
SCHEMA_VERSION = 42

Json = dict[str, Any]

_DATASOURCE: Json = {"type": "prometheus", "uid": "${source}"}


def grafana_files(models: Sequence[Watched], prometheus: str) -> Files:
    """Two dashboards and their provisioning; the model that the second one opens with is the first of `models`."""
    fleet = _dashboard("flyball-fleet", "Flyball: fleet", fleet_panels(), ())
    first = models[0].model
    variables = (
        _variable("model", "label_values(flyball_retrains_total, model)", current=first),
        _variable("metric", 'label_values(flyball_performance{model="$model"}, metric)'),
        _variable("method", 'label_values(flyball_drift_score{model="$model"}, method)'),
    )
    model = _dashboard("flyball-model", "Flyball: model", model_panels(), variables)
    return {
        "dashboards/flyball.yaml": as_yaml(_providers()),
        "dashboards/flyball/fleet.json": _json(fleet),
        "dashboards/flyball/model.json": _json(model),
        "datasources/flyball.yaml": as_yaml(_datasources(prometheus)),
    }


def _json(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _providers() -> Json:
    provider = {
        "name": "flyball",
        "orgId": 1,
        "folder": "Flyball",
        "type": "file",
        "disableDeletion": False,
        "updateIntervalSeconds": 30,
        "allowUiUpdates": False,
        "options": {"path": JSON_FOLDER},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _datasources(url: str) -> Json:
    source = {
        "name": SOURCE,
        "type": "prometheus",
        "access": "proxy",
        "uid": SOURCE,
        # In these files Grafana takes $ for a variable.
        "url": url.replace("$", "$$"),
        "editable": False,
        "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
    }
    return {"apiVersion": 1, "datasources": [source]}


def _dashboard(uid: str, title: str, panels: Sequence[Panel], variables: Sequence[Json]) -> Json:
    source = {
        "name": "source",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": SOURCE, "value": SOURCE},
    }
    return {
        "uid": uid,
        "title": title,
        "tags": ["flyball"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "annotations": {"list": []},
        "templating": {"list": [source, *variables]},
        "links": [
            {"title": "Flyball", "type": "dashboards", "tags": ["flyball"], "asDropdown": False, "keepTime": True}
        ],
        "panels": _placed(panels),
    }


def _variable(name: str, query: str, current: str | None = None) -> Json:
    variable: Json = {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }
    return variable if current is None else {**variable, "current": {"text": current, "value": current}}


def _placed(panels: Sequence[Panel]) -> list[Json]:
    """From left to right in rows 24 wide, as text flows."""
    found, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y, tallest = 0, y + tallest, 0
        found.append(_panel(number, panel, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return found


def _panel(number: int, panel: Panel, x: int, y: int) -> Json:
    table = panel.kind == "table"
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": _DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            **({"instant": True, "range": False, "format": "table"} if table or panel.kind == "stat" else {}),
        }
        for place, query in enumerate(panel.queries)
    ]
    placed: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "datasource": _DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
    }
    if panel.kind == "stat":
        for target in targets:
            target["format"] = "time_series"
        placed["options"] = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return placed

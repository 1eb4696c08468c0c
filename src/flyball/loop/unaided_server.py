"""One registered model over MLflow's REST API 2.0."""

from __future__ import annotations

import base64
import os
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import orjson

from flyball.loop.unaided_file import HEAD, STAGE

#: versions asked for at once; the most that MLflow's server takes.
PAGE = 10_000


class Server:
    """The model, asked about at an address."""

    def __init__(self, address: str, model: str, timeout_s: float) -> None:
        self._address = f"{address}/api/2.0/mlflow"
        self._model = model
        self._timeout_s = timeout_s

    def aliases(self) -> dict[str, int]:
        return {item["alias"]: int(item["version"]) for item in self._model_itself().get("aliases", [])}

    def head(self) -> str | None:
        return next((item["value"] for item in self._model_itself().get("tags", []) if item["key"] == HEAD), None)

    def tags(self) -> dict[int, str | None]:
        found: dict[int, str | None] = {}
        page = ""
        while True:
            asked = {"filter": f"name='{self._model}'", "max_results": str(PAGE), "page_token": page}
            answer = self._call("GET", "model-versions/search", **asked)
            for item in answer.get("model_versions", []):
                tags = {tag["key"]: tag.get("value", "") for tag in item.get("tags", [])}
                found[int(item["version"])] = tags.get(STAGE)
            page = answer.get("next_page_token", "")
            if not page:
                return found

    def point(self, alias: str, version: int | None) -> None:
        if version is None:
            self._call("DELETE", "registered-models/alias", name=self._model, alias=alias)
        else:
            self._call("POST", "registered-models/alias", name=self._model, alias=alias, version=str(version))

    def tag(self, version: int, stage: str) -> None:
        told = {"version": str(version), "key": STAGE, "value": stage}
        self._call("POST", "model-versions/set-tag", name=self._model, **told)

    def witness(self, head: str) -> None:
        self._call("POST", "registered-models/set-tag", name=self._model, key=HEAD, value=head)

    def _model_itself(self) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", "registered-models/get", name=self._model)["registered_model"]
        return found

    def _call(self, method: str, route: str, **values: str) -> dict[str, Any]:
        url, headers, body = f"{self._address}/{route}", _credentials(os.environ), None
        if method == "GET":
            url += f"?{urllib.parse.urlencode({name: value for name, value in values.items() if value})}"
        else:
            body, headers = orjson.dumps(values), {**headers, "Content-Type": "application/json"}
        request = urllib.request.Request(url, method=method, headers=headers, data=body)  # noqa: S310 - `is_known` has looked
        with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:  # noqa: S310
            answer: dict[str, Any] = orjson.loads(reply.read() or b"{}")
        return answer


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """As MLflow's own client sends them."""
    if token := environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}

"""Health, lists, documents, and what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.serving.problem import KINDS
from flyball.serving.routes import ROUTES, match

ROW = {"hour": 18.0, "distance": 760.5}


def test_ready_names_what_is_served(shared: Any) -> None:
    """200, each model with its version and generation, nothing degraded."""
    reply = shared.get("/readyz")
    assert reply.status == 200
    assert reply.json() == {"ready": True, "models": {"delay": {"version": 1, "generation": 1}}, "degraded": []}


def test_a_server_without_models_is_alive_but_not_ready(start: Any) -> None:
    """livez 200, readyz 503."""
    client = start()
    assert client.get("/livez").status == 200
    assert client.get("/readyz").status == 503


def test_a_draining_worker_is_not_ready_and_asks_clients_to_leave(client: Any) -> None:
    """It still answers, with Connection: close."""
    client.app.draining = True
    assert client.get("/readyz").status == 503
    reply = client.post("/models/delay/predict", {"inputs": [ROW]})
    assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_the_list_of_models_says_versions_and_features(shared: Any) -> None:
    """GET /models."""
    (model,) = shared.get("/models").json()["models"]
    assert (model["name"], model["version"], model["features"]) == ("delay", 1, ["hour", "distance"])


@pytest.mark.parametrize(
    "path", ["/", "/model", "/models/", "/models/delay", "/models//predict", "/models/a/b/predict"]
)
def test_an_unknown_path_lists_the_routes(shared: Any, path: str) -> None:
    """404 in problem+json."""
    reply = shared.get(path)
    assert reply.status == 404
    assert "POST /models/{model}/predict" in reply.json()["detail"]


def test_an_unknown_model_names_those_there_are(shared: Any) -> None:
    """404 helps with the name."""
    reply = shared.post("/models/dealy/predict", {"inputs": [ROW]})
    assert (reply.status, "there is: delay" in reply.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/models/delay/predict", "POST"), ("POST", "/models", "GET, HEAD"), ("DELETE", "/readyz", "GET, HEAD")],
)
def test_another_method_is_answered_with_those_allowed(shared: Any, method: str, path: str, allow: str) -> None:
    """405 with Allow."""
    reply = shared.get(path, method)
    assert (reply.status, reply.headers["allow"]) == (405, allow)


def test_openapi_describes_every_route_and_the_real_features(shared: Any) -> None:
    """Types, ranges seen and an example row of each live model; every route of the table."""
    api = shared.get("/openapi.json").json()
    served = {(method.upper(), path) for path, methods in api["paths"].items() for method in methods}
    real = {(route.method, route.path.replace("{model}", "delay").replace("{version}", "1")) for route in ROUTES}
    assert served == real
    row = api["components"]["schemas"]["delay-row"]
    assert row["properties"]["hour"]["type"] == "number"
    assert row["properties"]["hour"]["x-range-seen"] == [0.0, 23.0]
    assert row["required"] == ["hour", "distance"]


def test_the_example_of_openapi_is_answered(shared: Any) -> None:
    """What the document shows can be sent."""
    predict = shared.get("/openapi.json").json()["paths"]["/models/delay/predict"]["post"]
    example = predict["requestBody"]["content"]["application/json"]["example"]
    assert shared.post("/models/delay/predict", example).status == 200


def test_docs_explain_every_problem_and_load_nothing_from_elsewhere(shared: Any) -> None:
    """A problem's type points to a heading of the page; the page needs no other server."""
    text = shared.get("/docs").body.decode()
    assert [kind for kind in KINDS if f'id="{kind}"' not in text] == []
    assert "://" not in text


def test_metrics_count_requests_rows_and_records_alike(client: Any) -> None:
    """served = written + sampled_out + dropped, in rows; requests by code."""
    client.post("/models/delay/predict", {"inputs": [ROW] * 3})
    client.post("/models/delay/predict", b"{")
    label = 'model="delay",variant="live",version="1"'
    assert client.metric(f"flyball_rows_total{{{label}}}") == 3.0
    assert client.metric('flyball_journal_records_total{result="written"}') == 3.0
    assert client.metric(f'flyball_requests_total{{code="200",{label}}}') == 1.0
    assert client.metric(f'flyball_requests_total{{code="400",{label}}}') == 1.0
    assert client.metric('flyball_request_seconds_count{model="delay",variant="live"}') == 1.0
    assert client.metric("flyball_batch_rows_sum") == 3.0
    # The request for the metrics is itself in flight.
    assert client.metric("flyball_in_flight") == 1.0
    assert client.metric(f'flyball_model_info{{generation="1",{label}}}') == 1.0


def test_a_path_matches_its_template_only() -> None:
    """One segment is the model's name."""
    found = match("/models/delay/predict")
    assert found is not None
    assert (found[0]["POST"].name, found[1]) == ("predict", "delay")
    assert match("/models/{model}/predict") is not None
    assert match("/livez/") is None

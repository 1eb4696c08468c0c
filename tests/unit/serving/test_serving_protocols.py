"""The routes of the other protocols: what they ask besides predictions, which model is meant, what headers say."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from flyball.serving.predicting import INLINE_BYTES, MOST_IDS
from flyball.serving.routes import ROUTES, Table, routes

ROW = {"hour": 18.0, "distance": 760.5}
RECORDS = {"dataframe_records": [ROW, {"hour": 1, "distance": 760.5}]}


def native(client: Any) -> float:
    """What the native protocol answers for ROW."""
    return float(client.post("/models/delay/predict", {"inputs": [ROW]}).json()["predictions"][0])


def tensors(*values: tuple[str, float]) -> dict[str, Any]:
    return {"inputs": [{"name": n, "shape": [1, 1], "datatype": "FP32", "data": [v]} for n, v in values]}


BODIES = {
    "/v1/models/delay:predict": {"instances": [ROW]},
    "/v1/models/delay/versions/1:predict": {"instances": [ROW]},
    "/v2/models/delay/infer": tensors(*ROW.items()),
    "/v2/models/delay/versions/1/infer": tensors(*ROW.items()),
    "/invocations": {"instances": [ROW]},
    "/vertex": {"instances": [ROW]},
}


@pytest.fixture
def client(shared: Any) -> Any:
    """Who takes it looks at answers, and at what is never written."""
    return shared


@pytest.mark.parametrize("path", BODIES)
def test_every_protocol_is_journaled_alike(installed: Any, start: Any, path: str) -> None:
    """The same features, prediction and ids as a native request; the headers name version and ids."""
    installed.deploy("delay", 1)
    client = start(vertex_predict="/vertex")
    reply = client.post(path, BODIES[path], x_request_id="r-1")
    (line,) = client.journal()
    assert (reply.status, reply.headers["x-flyball-model"]) == (200, "delay@1")
    assert line["features"] == {"hour": [18.0], "distance": [760.5]}
    assert reply.headers["x-flyball-ids"].split(",") == line["ids"]
    assert line["prediction"] == [native(client)]
    assert line["request_id"] == "r-1"


@pytest.mark.parametrize("path", BODIES)
def test_every_protocol_scores_large_bodies_aside(installed: Any, start: Any, path: str) -> None:
    """Beyond half a mebibyte nothing changes but where the work is done; so many ids are in no header."""
    installed.deploy("delay", 1)
    client = start(vertex_predict="/vertex")
    rows = MOST_IDS + 1
    body: Any = {"instances": [ROW] * rows}
    if "infer" in path:
        data = {name: [value] * rows for name, value in ROW.items()}
        body = {"inputs": [{"name": n, "shape": [rows], "datatype": "FP32", "data": v} for n, v in data.items()]}
    # Blanks make it large: what a row costs to score is not what is asked here.
    reply = client.post(path, orjson.dumps(body) + b" " * INLINE_BYTES)
    assert reply.status == 200
    assert "x-flyball-ids" not in reply.headers
    assert len(client.journal()[0]["ids"]) == rows


def test_invocations_answer_the_models_own_labels(client: Any) -> None:
    """Integer classes are integers; the variant is told as SageMaker tells it."""
    reply = client.post("/invocations", RECORDS)
    assert reply.json() == {"predictions": [1, 0]}
    assert reply.headers["x-amzn-invoked-production-variant"] == "live"


@pytest.mark.parametrize(
    ("accept", "kind", "text"),
    [
        ("text/csv", "text/csv; charset=utf-8", b"1\n0\n"),
        ("application/jsonlines", "application/jsonlines", b"1\n0\n"),
        ("*/*", "application/json", b'{"predictions":[1,0]}'),
        ("image/png, text/csv;q=0.5", "text/csv; charset=utf-8", b"1\n0\n"),
    ],
)
def test_invocations_answer_lines_where_they_are_accepted(client: Any, accept: str, kind: str, text: bytes) -> None:
    """One line a row, in their order, as a batch transform assembles them."""
    reply = client.post("/invocations", RECORDS, accept=accept)
    assert (reply.headers["content-type"], reply.body) == (kind, text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"hour,distance\n18,760.5\n1,760.5\n", "text/csv"),
        (b"\xef\xbb\xbfdistance, hour\r\n760.5,18\r\n760.5,1\r\n", "text/csv; charset=utf-8"),
        (b"18,760.5\n1,760.5", "text/csv"),
        (b"18,760.5\n1,760.5", "text/csv; header=absent"),
        (b'{"hour":18,"distance":760.5}\n{"distance":760.5,"hour":1}\n', "application/jsonlines"),
        (b"[18,760.5]\n\n[1,760.5]\n", "application/jsonlines"),
    ],
)
def test_lines_are_rows_with_or_without_a_header(client: Any, text: bytes, kind: str) -> None:
    """A first line that names a feature is a header; without one the order is the contract's."""
    reply = client.post("/invocations", text, content_type=kind)
    assert (reply.status, reply.json()) == (200, {"predictions": [1, 0]})


@pytest.mark.parametrize(
    ("text", "kind", "detail"),
    [
        (b"a,b\n18,760.5\n", "text/csv; header=present", "column 'hour': missing"),
        (b"18,760.5\n1\n", "text/csv", "row 1: got 1 values, needs 2"),
        (b"18,\n", "text/csv", "row 0, column 'distance': got null, needs a number"),
        (b"hour,distance\n", "text/csv", "no rows"),
        (b"\xff", "text/csv", "the body is not in UTF-8, from byte 0 on"),
        (b'{"hour":18,"distance":760.5}\n[1,760.5]\n', "application/jsonlines", "row 1: got list, needs an object"),
        (b"[18,760.5]\n[1,760.5\n", "application/jsonlines", "row 1: the body is not JSON"),
    ],
)
def test_a_wrong_line_is_named(client: Any, text: bytes, kind: str, detail: str) -> None:
    """Lines are counted as rows, from 0 and without the header."""
    reply = client.post("/invocations", text, content_type=kind)
    assert reply.status in (400, 422)
    assert detail in reply.json()["message"]


def test_a_vertex_route_may_be_any_path(installed: Any, start: Any) -> None:
    """Even one that has another meaning elsewhere; health is what Vertex says it is."""
    installed.deploy("delay", 1)
    path = "/v1/endpoints/7/deployedModels/9"
    client = start(vertex_predict=f"{path}:predict", vertex_health=path)
    assert client.get(path).status == 200
    assert client.post(f"{path}:predict", {"instances": [[18.0, 760.5]]}).json() == {"predictions": [native(client)]}
    assert "error" in client.post(f"{path}:predict", {}).json()
    taken = start(vertex_predict="/models/delay/predict")
    assert taken.post("/models/delay/predict", {"instances": [ROW]}).json() == {"predictions": [native(client)]}
    assert taken.app.deployed.direct == {}


def test_of_several_models_one_must_be_picked(installed: Any, start: Any) -> None:
    """404 naming them, on every route without a model's name; SageMaker's header or a query picks."""
    installed.deploy("delay", 1)
    installed.deploy("price", 1)
    client = start(vertex_predict="/vertex", vertex_health="/vertex-health")
    for method, path in (("POST", "/invocations"), ("GET", "/ping"), ("POST", "/vertex"), ("GET", "/vertex-health")):
        reply = client.send(method, path, orjson.dumps({"instances": [ROW]}))
        assert reply.status == 404
        assert "there is: delay, price" in reply.json()["detail"]
    header = {"x_amzn_sagemaker_target_model": "delay"}
    assert client.post("/invocations", RECORDS, **header).json() == {"predictions": [1, 0]}
    assert client.send("GET", "/ping?model=price").status == 200
    assert client.send("POST", "/vertex?model=price", orjson.dumps({"instances": [ROW]})).status == 200
    assert client.send("GET", "/ping?model=rain").status == 404


def test_only_the_one_model_there_is_may_be_named(client: Any) -> None:
    """A wrong name is refused, not answered by another model."""
    reply = client.post("/invocations", RECORDS, x_amzn_sagemaker_target_model="price")
    assert reply.status == 404
    assert reply.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert reply.json()["message"] == "no such model; there is: delay"


def test_another_version_than_the_live_one_is_refused_by_name(client: Any) -> None:
    """404 naming the live one, for predictions and metadata alike."""
    for method, path in (("POST", "infer"), ("GET", "ready")):
        reply = client.send(method, f"/v2/models/delay/versions/2/{path}", b"{}")
        assert (reply.status, reply.json()["error"]) == (404, "version 1 is live, and the only one that answers")


def test_the_tensors_of_a_model_are_told(client: Any) -> None:
    """One a feature, of any number of rows; the answer in full precision."""
    expected = {
        "name": "delay",
        "versions": ["1"],
        "platform": "flyball",
        "inputs": [
            {"name": "hour", "datatype": "FP32", "shape": [-1]},
            {"name": "distance", "datatype": "FP32", "shape": [-1]},
        ],
        "outputs": [{"name": "predictions", "datatype": "FP64", "shape": [-1]}],
    }
    assert client.get("/v2/models/delay").json() == client.get("/v2/models/delay/versions/1").json() == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/models", {"models": ["delay"]}),
        ("/v2/models", {"models": ["delay"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/delay/ready", {"name": "delay", "ready": True}),
        ("/v2/models/delay/versions/1/ready", {"name": "delay", "ready": True}),
    ],
)
def test_what_clients_ask_first_is_answered(client: Any, path: str, value: Any) -> None:
    """Who is there, and is it ready."""
    reply = client.get(path)
    assert (reply.status, reply.json()) == (200, value)


def test_the_server_says_what_it_is(client: Any) -> None:
    """Triton's clients look for the binary extension; MLflow's for a version; SageMaker's for its limits."""
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/version").body == client.get("/v2").json()["version"].encode()
    assert client.get("/v1/models/delay").json()["model_version_status"][0]["version"] == "1"
    limits = client.get("/execution-parameters").json()
    assert limits["BatchStrategy"] == "MULTI_RECORD"
    assert limits["MaxConcurrentTransforms"] * limits["MaxPayloadInMB"] <= 100


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/delay/versions/2"),
        ("GET", "/v1/models/delay/versions/2/metadata"),
        ("POST", "/v1/models/delay/versions/2:predict"),
        ("GET", "/v2/models/delay/versions/2"),
        ("POST", "/v2/models/delay/versions/2/infer"),
    ],
)
def test_only_the_live_version_answers(client: Any, method: str, path: str) -> None:
    """404 names it."""
    reply = client.send(method, path)
    assert (reply.status, reply.json()["error"]) == (404, "version 1 is live, and the only one that answers")


def test_tensorflow_servings_status_is_of_one_version(client: Any) -> None:
    """With the version in the path and without."""
    status = client.get("/v1/models/delay").json()["model_version_status"]
    assert status == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    assert client.get("/v1/models/delay/versions/1").json()["model_version_status"] == status


def test_tensorflow_servings_metadata_is_what_a_columnar_request_needs(installed: Any, start: Any) -> None:
    """One signature; its inputs can be sent as they are named, and its outputs come back under their names."""
    installed.deploy("delay", 1)
    installed.deploy("kind", 1)
    client = start()
    said = client.get("/v1/models/kind/metadata").json()
    assert said == client.get("/v1/models/kind/versions/1/metadata").json()
    assert said["model_spec"] == {"name": "kind", "signature_name": "", "version": "1"}
    signature = said["metadata"]["signature_def"]["signature_def"]["serving_default"]
    rows = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["inputs"]["hour"] == {"dtype": "DT_FLOAT", "tensor_shape": rows, "name": "hour"}
    assert signature["outputs"]["class"] == {"dtype": "DT_STRING", "tensor_shape": rows, "name": "class"}
    assert [size["size"] for size in signature["outputs"]["probabilities"]["tensor_shape"]["dim"]] == ["-1", "3"]
    asked = {"signature_name": "serving_default", "inputs": {name: [1.0, 2.0] for name in signature["inputs"]}}
    assert set(client.post("/v1/models/kind:predict", asked).json()["outputs"]) == set(signature["outputs"])
    (one,) = client.get("/v1/models/delay/metadata").json()["metadata"]["signature_def"]["signature_def"].values()
    assert {name: item["dtype"] for name, item in one["outputs"].items()} == {"predictions": "DT_DOUBLE"}


def test_tritons_index_lists_the_live_versions(client: Any) -> None:
    """A POST, though nothing changes."""
    reply = client.post("/v2/repository/index", {})
    assert reply.json() == [{"name": "delay", "version": "1", "state": "READY", "reason": ""}]


def test_a_server_without_models_is_not_ready_in_any_protocol(start: Any) -> None:
    """Alive all the same."""
    client = start()
    assert [client.get(path).status for path in ("/v2/health/ready", "/ping", "/health")] == [503, 404, 404]
    assert client.get("/v2/health/live").status == 200


@pytest.mark.parametrize("name", ["inputs", "predict", "input-0"])
@pytest.mark.parametrize("data", [[18.0, 760.5, 1.0, 760.5], [[18.0, 760.5], [1.0, 760.5]]])
def test_a_matrix_holds_all_features_of_a_model_of_numbers(client: Any, name: str, data: Any) -> None:
    """Flat or nested, under whatever name clients give it."""
    body = {"inputs": [{"name": name, "shape": [2, 2], "datatype": "FP64", "data": data}]}
    (output,) = client.post("/v2/models/delay/infer", body).json()["outputs"]
    assert (output["shape"], output["data"][0]) == ([2], native(client))


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        ("FP16", np.array([18, 760.5], "<f2").tobytes()),
        ("BF16", (np.array([18, 760], "<f4").view("<u4") >> 16).astype("<u2").tobytes()),
        ("FP64", np.array([18, 760.5], "<f8").tobytes()),
        ("INT16", np.array([18, 760], "<i2").tobytes()),
    ],
)
def test_binary_numbers_of_any_width_are_read(client: Any, datatype: str, raw: bytes) -> None:
    """The JSON's length comes in a header, and that of the answer's too where it is binary."""
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "inputs", "shape": [1, 2], "datatype": datatype, "parameters": size}
    head = orjson.dumps({"id": "7", "inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {"inference_header_content_length": str(len(head))}
    reply = client.post("/v2/models/delay/infer", head + raw, **headers)
    length = int(reply.headers["inference-header-content-length"])
    assert (reply.headers["content-type"], orjson.loads(reply.body[:length])["id"]) == ("application/octet-stream", "7")
    assert np.frombuffer(reply.body[length:], "<f8")[0] == pytest.approx(native(client), abs=0.01)


@pytest.mark.parametrize("length", ["-1", "x", "999999", "1e2", ""])
def test_a_wrong_length_of_the_json_is_refused(client: Any, length: str) -> None:
    """400, as Triton does."""
    reply = client.post("/v2/models/delay/infer", tensors(*ROW.items()), inference_header_content_length=length)
    assert (reply.status, "error" in reply.json()) == (400, True)


def test_outputs_may_be_chosen(installed: Any, start: Any) -> None:
    """By name, each in JSON or in binary; an unknown one is refused with those there are."""
    installed.deploy("kind", 1)
    client = start()
    body = {**tensors(("hour", 1.0), ("distance", 8.0)), "outputs": [{"name": "probabilities"}]}
    (output,) = client.post("/v2/models/kind/infer", body).json()["outputs"]
    assert (output["name"], output["shape"], len(output["data"])) == ("probabilities", [1, 3], 3)
    reply = client.post("/v2/models/kind/infer", {**body, "outputs": [{"name": "label"}]})
    assert reply.json()["error"] == "outputs.0.name: needs one of predictions, probabilities"


def test_a_columnar_request_of_tensorflow_is_answered_by_outputs(client: Any) -> None:
    """Columns of values, or of lists of one."""
    body = {"inputs": {"hour": [[18.0]], "distance": [[760.5]]}, "signature_name": "serving_default"}
    assert client.post("/v1/models/delay:predict", body).json() == {"outputs": [native(client)]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/delay:predict", {"instances": [{"hour": "s3cret", "distance": 1}]}),
        ("/v1/models/delay:predict", {"inputs": {"hour": ["s3cret"], "distance": [1]}}),
        ("/v2/models/delay/infer", tensors(("hour", "s3cret"), ("distance", 1))),  # type: ignore[arg-type]
        ("/invocations", {"dataframe_split": {"columns": ["hour", "distance"], "data": [["s3cret", 1]]}}),
        ("/invocations", {"instances": [ROW], "params": {"key": ["s3cret", "s3cret"]}}),
    ],
)
def test_a_refusal_of_any_protocol_repeats_no_value(client: Any, path: str, body: Any) -> None:
    """Neither the answer nor the log holds what was sent."""
    reply = client.post(path, body)
    assert reply.status == 422
    assert b"s3cret" not in reply.body
    assert "s3cret" not in str(client.log)


def test_openapi_shows_each_protocol_with_an_example_that_is_answered(client: Any) -> None:
    """Of each predict route and each media type."""
    api = client.get("/openapi.json").json()
    told = 0
    for path, methods in api["paths"].items():
        if "x-models" not in methods.get("post", {}):
            continue
        assert "version 1 is live" in methods["post"]["description"]
        for media, content in methods["post"]["requestBody"]["content"].items():
            example = content["example"]
            body = example.encode() if isinstance(example, str) else orjson.dumps(example)
            assert client.post(path, body, content_type=media).status == 200, (path, media)
            told += 1
    assert told == 8


def test_openapi_of_several_models_says_that_one_is_picked(installed: Any, start: Any) -> None:
    """The query is required; the body is that of any of them."""
    installed.deploy("delay", 1)
    installed.deploy("price", 1)
    operation = start().get("/openapi.json").json()["paths"]["/invocations"]["post"]
    assert operation["parameters"][0]["schema"] == {"enum": ["delay", "price"]}
    assert len(operation["requestBody"]["content"]["application/json"]["schema"]["anyOf"]) == 2


def test_operations_have_ids_of_their_own(client: Any) -> None:
    """As generators of clients need them."""
    paths = client.get("/openapi.json").json()["paths"]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert sorted(set(ids)) == sorted(ids)


def test_vertex_routes_stand_before_others() -> None:
    """The environment's word is the user's."""
    table = Table(routes(vertex_predict="/invocations", vertex_health="/livez"))
    found = table.match("/invocations")
    assert found is not None
    assert found.routes["POST"].dialect is not None
    assert found.routes["POST"].dialect.name == "vertex"
    assert len(table.routes) == len(ROUTES)

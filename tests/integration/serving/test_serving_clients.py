"""Other people's clients, unchanged, against a live worker; and whatever bytes, on every protocol's route."""

from __future__ import annotations

import gzip
import http.client
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROW = {"hour": 18.0, "distance": 760.5}
#: every predict route of a server of one model.
PATHS = (
    "/models/delay/predict",
    "/v1/models/delay:predict",
    "/v1/models/delay/versions/1:predict",
    "/v2/models/delay/infer",
    "/v2/models/delay/versions/1/infer",
    "/invocations",
    "/vertex",
)

triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is a development dependency")


@pytest.fixture(scope="module")
def server(serve_once: Callable[..., Any]) -> Any:
    """One worker that serves `delay`."""
    return serve_once(vertex_predict="/vertex")


@pytest.fixture
def client(server: Any) -> Iterator[Any]:
    """Triton's own."""
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as made:
        yield made


def features(binary: bool = True) -> list[Any]:
    found = []
    for name, value in ROW.items():
        tensor = triton.InferInput(name, [2, 1], "FP32")
        found.append(tensor.set_data_from_numpy(np.full((2, 1), value, np.float32), binary_data=binary))
    return found


def test_tritons_client_works_unchanged(server: Any, client: Any) -> None:
    """Health, metadata, and a prediction in its default mode: binary both ways, without a Content-Type."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("delay")
    assert client.is_model_ready("delay", "1")
    assert not client.is_model_ready("delay", "2")
    assert [item["name"] for item in client.get_model_repository_index()] == ["delay"]
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert [tensor["name"] for tensor in client.get_model_metadata("delay")["inputs"]] == ["hour", "distance"]
    result = client.infer("delay", features(), request_id="7", parameters={"key": "N1"})
    assert result.as_numpy("predictions").tolist() == server.predict(2)["predictions"]
    assert (result.get_response()["id"], result.get_response()["model_version"]) == ("7", "1")


def test_tritons_client_may_speak_json_or_send_a_matrix(server: Any, client: Any) -> None:
    """Either way the answer is the same number."""
    expected = server.predict(2)["predictions"]
    output = triton.InferRequestedOutput("predictions", binary_data=False)
    assert client.infer("delay", features(binary=False), outputs=[output]).as_numpy("predictions").tolist() == expected
    matrix = triton.InferInput("inputs", [2, 2], "FP32")
    matrix.set_data_from_numpy(np.array([list(ROW.values())] * 2, np.float32))
    assert client.infer("delay", [matrix]).as_numpy("predictions").tolist() == expected


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_tritons_client_may_compress(server: Any, client: Any, coding: str) -> None:
    """The length of its JSON is then that of what comes out; it copes with an answer that is not compressed."""
    result = client.infer(
        "delay", features(), request_compression_algorithm=coding, response_compression_algorithm=coding
    )
    assert result.as_numpy("predictions").tolist() == server.predict(2)["predictions"]


def test_compressed_and_plain_requests_share_a_connection(server: Any) -> None:
    """A head that was seen before is not taken for another."""
    connection = server.connection()
    body = orjson.dumps({"inputs": [ROW]})
    found = []
    for _ in range(3):
        for sent, headers in ((body, {}), (gzip.compress(body), {"Content-Encoding": "gzip"})):
            status, answer = ask(connection, "/models/delay/predict", sent, headers)
            found.append((status, orjson.loads(answer)["predictions"]))
        assert ask(connection, "/models/delay/predict", body, {"Content-Encoding": "gzip"})[0] == 400
        assert ask(connection, "/models/delay/predict", body, {"Content-Encoding": "br"})[0] == 415
    connection.close()
    assert len(set(map(str, found))) == 1
    assert found[0][0] == 200


def test_tritons_client_is_told_why_it_was_refused(client: Any) -> None:
    """It reads `error`: row and column for a bad value, the names for an unknown model."""
    inputs = features()
    inputs[0].set_data_from_numpy(np.array([[1.0], [math.nan]], np.float32))
    with pytest.raises(triton.InferenceServerException, match="row 1, column 'hour': got NaN"):
        client.infer("delay", inputs)
    with pytest.raises(triton.InferenceServerException, match="there is: delay"):
        client.infer("dealy", features())


def test_mlflows_client_works_unchanged(server: Any) -> None:
    """Ping, version, and a table; missing numbers are written as Python writes them, and refused by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns of its own type hints
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    client = ScoringServerClient("127.0.0.1", server.port)
    client.ping()
    assert client.get_version()
    frame = pd.DataFrame([ROW, {"hour": 1.0, "distance": 760.5}])
    answer = client.invoke(frame)
    assert answer.get_predictions()[0].tolist() == [1, 0]
    assert client.invoke(frame.to_numpy(), params={"key": "N1"}).get_predictions("ndarray").tolist() == [1, 0]
    frame.loc[1, "hour"] = math.nan
    with pytest.raises(Exception, match="row 1, column 'hour'"):
        client.invoke(frame)


def ask(connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection.request("POST", path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


_TEXT = st.sampled_from(
    [
        b'{"instances": [{"hour": 1, "distance": 2}]}',
        b'{"inputs": [{"name": "hour", "shape": [1], "datatype": "FP32", "data": [1]}]}',
        b'{"dataframe_split": {"columns": ["hour", "distance"], "data": [[1, 2]]}}',
        b"hour,distance\n1,2\n",
    ]
)
_TORN = st.builds(lambda text, at, more: text[:at] + more + text[at:], _TEXT, st.integers(0, 80), st.binary(max_size=6))
_KINDS = ["application/json", "text/csv", "application/jsonlines", "application/octet-stream", ""]


def test_whatever_bytes_come_nothing_fails_or_hangs(server: Any) -> None:
    """An answer or a refusal of this request, on a connection that goes on; never a fault of the server."""
    connection = server.connection()

    @settings(
        max_examples=400,
        deadline=None,
        phases=[Phase.generate],
    )
    @given(
        path=st.sampled_from(PATHS),
        body=st.binary(max_size=300) | _TORN,
        kind=st.sampled_from(_KINDS),
        length=st.none() | st.integers(0, 300),
    )
    def asked(path: str, body: bytes, kind: str, length: int | None) -> None:
        headers = {"Content-Type": kind} if kind else {}
        if length is not None:
            headers["Inference-Header-Content-Length"] = str(length)
        status, answer = ask(connection, path, body, headers)
        assert status in (200, 400, 415, 422)
        if status != 200:
            assert orjson.loads(answer)["status"] == status

    asked()
    connection.close()
    assert server.metric('flyball_requests_total{code="500"') == 0.0


@pytest.mark.filterwarnings("ignore")  # schemathesis warns of what its own dependencies do
def test_the_server_is_as_its_openapi_says(server: Any) -> None:
    """Statuses, content types and answers are those of the document; what it allows and what it does not is tried."""
    schema = schemathesis.openapi.from_dict(orjson.loads(server.request("GET", "/openapi.json")[2]))
    tried = set()

    for result in schema.get_all_operations():
        operation = result.ok()
        tried.add(operation.path)

        @settings(
            max_examples=15,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def called(case: Any) -> None:
            reply = case.call(base_url=f"http://127.0.0.1:{server.port}")
            case.validate_response(
                reply,
                checks=[
                    schemathesis.checks.not_a_server_error,
                    schemathesis.specs.openapi.checks.status_code_conformance,
                    schemathesis.specs.openapi.checks.content_type_conformance,
                    schemathesis.specs.openapi.checks.response_schema_conformance,
                ],
            )

        called()
    assert set(PATHS) <= tried

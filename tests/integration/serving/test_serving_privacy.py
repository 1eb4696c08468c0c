"""A planted secret: sent where the journal hashes or drops, and where requests fail, it is found nowhere afterwards.

What is kept by design is not looked for: identifiers (keys, request ids) and columns that are kept.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from flyball.engine.compile import classes_of, compile_model
from flyball.engine.infer import infer_contract
from flyball.journal.carry import carry
from flyball.registry.live import current, deploy
from flyball.store import open_database, utcnow

TEXT = "zq-planted-7719-secret"
#: exact in float32, so that it would be found as it was sent.
NUMBER = 8192377.5
COLUMNS = {"distance": "hash", "income": "drop", "name": "hash", "street": "drop"}
FEATURES = ["hour", "distance", "income", "name", "street"]

ROW: dict[str, Any] = {"hour": 9.0, "distance": NUMBER, "income": NUMBER, "name": TEXT, "street": TEXT}
VALUES = [ROW[name] for name in FEATURES]

#: every protocol's way to say the row; one that is not served here is a refused request.
BODIES: dict[str, tuple[str, Any]] = {
    "native": ("/models/delay/predict", {"inputs": [ROW]}),
    "native, columns and data": ("/models/delay/predict", {"inputs": {"columns": FEATURES, "data": [VALUES]}}),
    "KServe V1": ("/v1/models/delay:predict", {"instances": [ROW]}),
    "KServe V1, columns": ("/v1/models/delay:predict", {"inputs": {name: [ROW[name]] for name in FEATURES}}),
    "Open Inference V2": (
        "/v2/models/delay/infer",
        {
            "inputs": [
                {
                    "name": name,
                    "shape": [1],
                    "datatype": "BYTES" if isinstance(ROW[name], str) else "FP64",
                    "data": [ROW[name]],
                }
                for name in FEATURES
            ]
        },
    ),
    "MLflow records": ("/invocations", {"dataframe_records": [ROW]}),
    "MLflow split": ("/invocations", {"dataframe_split": {"columns": FEATURES, "data": [VALUES]}}),
    "MLflow instances": ("/invocations", {"instances": [ROW]}),
    "MLflow inputs": ("/invocations", {"inputs": {name: [ROW[name]] for name in FEATURES}}),
}

CSV = f"{','.join(FEATURES)}\n{','.join(map(str, VALUES))}\n".encode()

#: requests that cannot be answered.
REFUSED: dict[str, tuple[str, bytes]] = {
    "a text for a number": ("/models/delay/predict", orjson.dumps({"inputs": [{**ROW, "hour": TEXT}]})),
    "a number for a text": ("/models/delay/predict", orjson.dumps({"inputs": [{**ROW, "name": NUMBER}]})),
    "a list for a value": ("/models/delay/predict", orjson.dumps({"inputs": [{**ROW, "name": [TEXT, NUMBER]}]})),
    "too large a number": ("/models/delay/predict", orjson.dumps({"inputs": [{**ROW, "hour": 1e300, "name": TEXT}]})),
    "a missing column": ("/models/delay/predict", orjson.dumps({"inputs": [{"hour": NUMBER, "name": TEXT}]})),
    "a row that is no object": ("/models/delay/predict", orjson.dumps({"inputs": [TEXT, NUMBER]})),
    "another shape": ("/models/delay/predict", orjson.dumps({"inputs": {"columns": FEATURES, "data": [[TEXT]]}})),
    "inputs that are text": ("/models/delay/predict", orjson.dumps({"inputs": TEXT})),
    "a key of another type": ("/models/delay/predict", orjson.dumps({"inputs": [ROW], "key": [[TEXT]]})),
    "a time that is none": ("/models/delay/predict", orjson.dumps({"inputs": [ROW], "timestamp": TEXT})),
    "no JSON": ("/models/delay/predict", f'{{"inputs": [{{"name": "{TEXT}", {NUMBER}'.encode()),
    "not UTF-8": ("/models/delay/predict", TEXT.encode() + b"\xff"),
    "too many bytes": ("/models/delay/predict", orjson.dumps({"inputs": [ROW] * 2_000})),
    "no such model": ("/models/none/predict", orjson.dumps({"inputs": [ROW]})),
    "an outcome that is none": (
        "/models/delay/outcomes",
        orjson.dumps({"outcomes": [{"key": [TEXT], "value": NUMBER}]}),
    ),
    "an outcome of lists": ("/models/delay/outcomes", orjson.dumps({"outcomes": [{"key": "k", "value": [TEXT]}]})),
}


@pytest.fixture(scope="module")
def bundle_files() -> dict[str, bytes]:
    """A model of numbers and texts."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "hour": rng.integers(0, 24, 300).astype(float),
            "distance": rng.normal(800.0, 200.0, 300),
            "income": rng.normal(1.0, 0.2, 300),
            "name": rng.choice(["ann", "bob"], 300),
            "street": rng.choice(["high", "low"], 300),
        }
    )
    texts = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore"), ["name", "street"])], remainder="passthrough"
    )
    model = make_pipeline(texts, LogisticRegression(max_iter=5000))
    fitted = model.fit(frame, (frame.hour + rng.normal(0, 4, 300) > 12).astype(int))
    contract = infer_contract(
        frame, model="delay", task="binary", features=FEATURES, classes=classes_of(fitted), positive="1"
    )
    return {"model.onnx": compile_model(fitted, contract), "contract.json": orjson.dumps(contract.to_json())}


def withhold(installed: Any) -> None:
    """Deploy version 2 with shadow 3, under a policy for the columns."""
    installed.deploy(2, shadow=(3,))
    database = open_database(installed.home)
    with database.write() as tx:
        was = current(tx, "delay")
        assert was is not None
        deploy(tx, replace(was, columns=COLUMNS), replaces=was.generation, who="test", why="test")
    database.close()


def binary() -> tuple[bytes, dict[str, str]]:
    """The row as binary tensors, and the header that says where they begin."""
    parts, inputs = [], []
    for name, value in ROW.items():
        text = isinstance(value, str)
        part = struct.pack("<I", len(value)) + value.encode() if text else struct.pack("<f", value)
        about = {"name": name, "shape": [1], "datatype": "BYTES" if text else "FP32"}
        inputs.append({**about, "parameters": {"binary_data_size": len(part)}})
        parts.append(part)
    head = orjson.dumps({"inputs": inputs})
    return head + b"".join(parts), {"inference-header-content-length": str(len(head))}


def needles() -> list[bytes]:
    """The secret in every form it might be found in."""
    text = TEXT.encode()
    number = [str(NUMBER).encode(), b"8.1923775", *(struct.pack(form, NUMBER) for form in ("<d", "<f", ">d", ">f"))]
    return [text, text.upper(), base64.b64encode(text)[:20], text.hex().encode(), *number]


def contents(folder: Any) -> Iterator[tuple[str, bytes]]:
    """Every file with its bytes; what is compressed, as text besides."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()
            if path.suffix == ".parquet":
                yield str(path.relative_to(folder)), repr(pq.ParquetFile(path).read().to_pylist()).encode()


def test_a_planted_secret_is_found_nowhere(
    serve: Any, installed: Any, eventually: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in journal, lake, database, any other file of the home, logs, metrics or the answers to refused requests."""
    withhold(installed)
    server = serve(workers=1, max_body_bytes=100_000)
    told: dict[str, bytes] = {}
    answered = 0
    for name, (path, value) in BODIES.items():
        status, _, told[name] = server.request("POST", path, value, {"content-type": "application/json"})
        answered += status == 200
    status, _, told["CSV"] = server.request("POST", "/invocations", CSV, {"content-type": "text/csv"})
    answered += status == 200
    status, _, told["binary tensors"] = server.request("POST", "/v2/models/delay/infer", *binary())
    answered += status == 200
    assert answered == len(BODIES) + 2, told
    for name, (path, body) in REFUSED.items():
        status, _, told[name] = server.request("POST", path, body, {"content-type": "application/json"})
        assert 400 <= status < 500, (name, status)
    eventually(lambda: server.metric("flyball_shadow_total") >= answered, "shadows have scored")
    told["metrics"] = server.request("GET", "/metrics")[2]
    told["readiness"] = server.request("GET", "/readyz")[2]
    told["journal while it is one"] = b"".join(content for _, content in contents(installed.home.journal))
    server.end()
    database = open_database(installed.home)
    carried = carry(installed.home, database, now=utcnow())
    database.close()
    assert carried.predictions == 2 * answered
    assert carried.errors >= len(REFUSED)
    captured = capfd.readouterr()
    told["log"] = (captured.out + captured.err).encode()
    assert b'"refused"' in told["log"]
    for name, content in [*told.items(), *contents(installed.home.path)]:
        assert [needle for needle in needles() if needle in content] == [], name


def test_equal_secrets_hash_equally_and_dropped_ones_are_gone(serve: Any, installed: Any) -> None:
    """What remains of a hashed column still tells equal from different; of a dropped one nothing does."""
    withhold(installed)
    server = serve(workers=1)
    for name in (TEXT, TEXT, "another"):
        assert server.request("POST", "/models/delay/predict", {"inputs": [{**ROW, "name": name}]})[0] == 200
    live = [line["features"] for line in installed.journal() if line["role"] == "live"]
    names = [features["name"][0] for features in live]
    assert names[0] == names[1] != names[2]
    assert [set(features) for features in live] == [{"hour", "distance", "name"}] * 3

"""Whoever asks beside whom, each gets the answers to its own rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from flyball.engine.compile import compile_model
from flyball.engine.contract import Contract, Table
from flyball.engine.parity import TOLERANCE
from flyball.engine.session import Engine, load_engine
from flyball.store import open_database
from tests.integration.serving.test_serving_many import install as install_graph
from tests.integration.serving.test_serving_native import install as install_native

pytestmark = pytest.mark.slow

REQUESTS, CLIENTS = 10_000, 64
#: of one row, of a few, and of as many as several threads share; the shares of each.
SIZES = {1: 0.5, 2: 0.25, 7: 0.15, 40: 0.09, 600: 0.01}
MODELS = ("delay", "trees", "forest")
PROTOCOLS = ("records", "columns", "v1", "v2")
NAMES = ("hour", "distance")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and what a direct call of the engine says to its rows."""

    path: str
    body: bytes
    expected: list[float]
    #: 0: to the bit.
    tolerance: float

    def answered(self, answer: Any) -> bool:
        """Whether these are the answers to these rows."""
        told = answer["outputs"][0]["data"] if "outputs" in answer else answer["predictions"]
        if not self.tolerance:
            return bool(told == self.expected)
        return len(told) == len(self.expected) and np.allclose(told, self.expected, rtol=0, atol=self.tolerance)


@pytest.fixture
def engines(installed: Any, bundle_files: Mapping[str, bytes]) -> Iterator[dict[str, Engine]]:
    """Three deployed models, opened here too: a regression's graph, a forest's graph, a forest as it was fitted."""
    home, folders = installed.home, {"delay": "bundle", "trees": "trees", "forest": "forest"}
    random = np.random.default_rng(5)
    table = pd.DataFrame({"hour": random.integers(0, 24, 2000) * 1.0, "distance": random.normal(800, 200, 2000)})
    fitted = RandomForestClassifier(5, random_state=0).fit(table, (table.hour > random.uniform(0, 24, 2000)) * 1)
    contract = Contract.from_json(orjson.loads(bundle_files["contract.json"]))
    database = open_database(home)
    install_graph(home, database, {**bundle_files, "model.onnx": compile_model(fitted, contract)}, "trees")
    database.close()
    install_native(home, "forest", fitted, table)
    opened = {name: load_engine(home.runs / folder, None) for name, folder in folders.items()}
    yield opened
    opened["forest"].close()  # type: ignore[attr-defined]  # the native one


def asked(model: str, engine: Engine, protocol: str, rows: npt.NDArray[np.float32]) -> Asked:
    values: list[list[float]] = rows.tolist()
    table = Table(engine.contract.layout, rows, np.empty((len(rows), 0), dtype=np.object_))
    path, body = {
        "records": ("/models/{}/predict", {"inputs": [dict(zip(NAMES, row, strict=True)) for row in values]}),
        "columns": ("/models/{}/predict", {"inputs": {"columns": NAMES[::-1], "data": [row[::-1] for row in values]}}),
        "v1": ("/v1/models/{}:predict", {"instances": values}),
        "v2": ("/v2/models/{}/infer", {"inputs": [tensor(rows)]}),
    }[protocol]
    expected = engine.predict(table).score.tolist()
    alone = model != "forest" and protocol in ("v1", "v2")
    return Asked(path.format(model), orjson.dumps(body), expected, 0 if alone else TOLERANCE)


def tensor(rows: npt.NDArray[np.float32]) -> dict[str, Any]:
    return {"name": "inputs", "shape": rows.shape, "datatype": "FP32", "data": rows.ravel().tolist()}


def requests(engines: Mapping[str, Engine]) -> Iterator[Asked]:
    random = np.random.default_rng(11)
    for number, size in enumerate(random.choice(list(SIZES), REQUESTS, p=list(SIZES.values()))):
        rows = np.column_stack([random.integers(0, 24, size), random.normal(800, 200, size)]).astype(np.float32)
        model = MODELS[number % len(MODELS)]
        yield asked(model, engines[model], PROTOCOLS[number // len(MODELS) % len(PROTOCOLS)], rows)


def test_ten_thousand_requests_at_once_each_get_their_own_rows(
    engines: Mapping[str, Engine], serve: Callable[..., Any]
) -> None:
    """In four protocols, of three models: what a direct call of the engine says to these rows alone.

    To the bit where they are computed alone. Small requests of the native protocol that arrive together are one batch,
    and so are those to a native model; these agree within the tolerance of the version's proof.
    """
    every = list(requests(engines))
    server = serve(workers=2)
    begin = threading.Barrier(CLIENTS)

    def client(number: int) -> list[str]:
        wrong: list[str] = []
        with closing(server.connection()) as connection:
            begin.wait()
            for item in every[number::CLIENTS]:
                connection.request("POST", item.path, item.body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
                if reply.status != 200 or not item.answered(orjson.loads(content)):
                    wrong.append(f"{item.path}: {reply.status} {content!r:.300}, expected {item.expected!r:.300}")
        return wrong

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert [line for wrong in clients.map(client, range(CLIENTS)) for line in wrong] == []
    assert server.metric("flyball_rows_total") == sum(len(item.expected) for item in every)

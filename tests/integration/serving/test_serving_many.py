"""Many models in one worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from flyball.engine.bundle import write_bundle
from flyball.engine.compile import compile_model
from flyball.engine.contract import Contract
from flyball.registry.live import deploy
from flyball.registry.records import Deployment
from flyball.store import Database, Home, moment, open_database

ROW = {"hour": 18.0, "distance": 760.5}


def install(home: Home, database: Database, files: Mapping[str, bytes], model: str) -> None:
    """The same graph under another name."""
    contract = {**orjson.loads(files["contract.json"]), "model": model}
    digest = write_bundle(home.runs / model, {**files, "contract.json": orjson.dumps(contract)})
    record = Deployment(
        model=model,
        generation=0,
        live=1,
        bundles={1: (f"runs/{model}", digest)},
        shadow=(),
        columns={},
        at=moment("2013-06-01T00:00:00Z"),
    )
    with database.write() as tx:
        deploy(tx, record, replaces=None, who="test", why="test")


def resident_mb(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def test_fifty_small_models_fit_in_one_worker(
    installed: Any, bundle_files: Mapping[str, bytes], serve: Callable[..., Any]
) -> None:
    """Each costs a few milliseconds at the start and less than a megabyte: measured 0.3 MB, allowed 2."""
    one = serve()
    alone_mb = resident_mb(one.alive()[0]) if Path("/proc").exists() else 0.0
    one.end()
    database = open_database(installed.home)
    for number in range(50):
        install(installed.home, database, bundle_files, f"m{number}")
    database.close()
    server = serve()
    for number in range(50):
        status, headers, _ = server.request("POST", f"/models/m{number}/predict", {"inputs": [ROW]})
        assert (status, headers["x-flyball-model"]) == (200, f"m{number}@1")
    if alone_mb:
        assert resident_mb(server.alive()[0]) < alone_mb + 50 * 2


@pytest.fixture(scope="module")
def forest_files(bundle_files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A model of the same contract whose graph is large enough to be seen in a process's memory."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"hour": rng.uniform(0, 24, 3000), "distance": rng.normal(800.0, 200.0, 3000)})
    fitted = RandomForestClassifier(40, random_state=0, n_jobs=1).fit(
        frame, (frame.hour > rng.uniform(0, 24, 3000)) * 1
    )
    contract = Contract.from_json(orjson.loads(bundle_files["contract.json"]))
    return {**bundle_files, "model.onnx": compile_model(fitted, contract)}


def test_models_that_nobody_asks_for_take_no_memory(
    installed: Any, forest_files: Mapping[str, bytes], serve: Callable[..., Any]
) -> None:
    """A session holds its graph at least once: 50 unasked ones save 50 times the size of one. The first ask is answered."""
    if not Path("/proc").exists():
        pytest.skip("a process's memory is read from /proc")
    names = [f"m{number}" for number in range(50)]
    database = open_database(installed.home)
    for name in names:
        install(installed.home, database, forest_files, name)
    database.close()
    eager = serve()
    eager_mb = resident_mb(eager.alive()[0])
    eager.end()
    lazy = serve(lazy=tuple(names))
    saved_mb = 50 * len(forest_files["model.onnx"]) / 2**20
    assert saved_mb > 50
    assert resident_mb(lazy.alive()[0]) < eager_mb - saved_mb
    ready = orjson.loads(lazy.request("GET", "/readyz")[2])["models"]
    assert [ready[name]["state"] for name in names] == ["not loaded yet"] * 50
    assert "state" not in ready["delay"]
    for name in names[:3]:
        status, headers, _ = lazy.request("POST", f"/models/{name}/predict", {"inputs": [ROW]})
        assert (status, headers["x-flyball-model"]) == (200, f"{name}@1")
    ready = orjson.loads(lazy.request("GET", "/readyz")[2])["models"]
    assert sum("state" in about for about in ready.values()) == 47


def test_clients_that_ask_first_together_are_all_answered(installed: Any, serve: Callable[..., Any]) -> None:
    """On connections of their own, in more than one protocol."""
    server = serve(lazy=("delay",))
    statuses: list[int] = []
    bodies = {"/models/delay/predict": {"inputs": [ROW]}, "/v1/models/delay:predict": {"instances": [ROW]}}
    asked = [
        threading.Thread(target=lambda at=path, body=body: statuses.append(server.request("POST", at, body)[0]))
        for path, body in bodies.items()
        for _ in range(8)
    ]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert statuses == [200] * 16
    assert server.predict()["version"] == 1

"""A worker's application in this process: real bundles, real files, no sockets."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from flyball.engine.bundle import write_bundle
from flyball.engine.infer import infer_contract
from flyball.engine.session import NUMBERS, OUTPUT
from flyball.registry.live import current, deploy
from flyball.registry.records import Deployment
from flyball.store import Home, moment, open_database
from tests.unit.serving.client import Client, applications

NOW = moment("2013-06-01T00:00:00Z")


@pytest.fixture(scope="session")
def files() -> Mapping[str, Mapping[str, bytes]]:
    """Bundle files of four small models: `delay` in two versions, `kind` (three classes), `price` (regression)."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"hour": rng.integers(0, 24, 300).astype(float), "distance": rng.normal(800.0, 200.0, 300)})

    def bundle(model: str, task: Any, graph: bytes, classes: tuple[str, ...] = (), **labels: Any) -> dict[str, bytes]:
        contract = infer_contract(
            frame,
            model=model,
            task=task,
            features=["hour", "distance"],
            classes=classes,
            positive=labels.get("positive"),
            label_kind=labels.get("label_kind", "text"),
        )
        return {"model.onnx": graph, "contract.json": orjson.dumps(contract.to_json())}

    zero_or_one: dict[str, Any] = {"classes": ("0", "1"), "positive": "1", "label_kind": "integer"}
    of_kind = [[-2.66, 0.00, 2.66], [0.001, 0.0, -0.001]]
    return {
        "delay/1": bundle("delay", "binary", _linear("Sigmoid", [[0.47], [0.0017]], [-7.2]), **zero_or_one),
        "delay/2": bundle("delay", "binary", _linear("Sigmoid", [[0.21], [0.0008]], [-3.3]), **zero_or_one),
        "kind/1": bundle("kind", "multiclass", _linear("Softmax", of_kind, [26.0, 7.5, -33.5]), ("0", "1", "2")),
        "price/1": bundle("price", "regression", _linear("Identity", [[0.0], [0.5]], [0.0])),
    }


def _linear(link: str, weights: list[list[float]], bias: list[float]) -> bytes:
    """The graph of a linear model as it is served; written by hand, since to fit and compile one takes seconds of imports."""
    take_two = link == "Sigmoid"  # the probabilities of both classes, not of the positive one alone
    nodes = [
        helper.make_node("Gemm", [NUMBERS, "weights", "bias"], ["sum"]),
        helper.make_node(link, ["sum"], ["positive" if take_two else OUTPUT]),
    ]
    constants = [numpy_helper.from_array(np.array(weights, np.float32), "weights")]
    constants += [numpy_helper.from_array(np.array(bias, np.float32), "bias")]
    if take_two:
        nodes.append(helper.make_node("Sub", ["one", "positive"], ["negative"]))
        nodes.append(helper.make_node("Concat", ["negative", "positive"], [OUTPUT], axis=1))
        constants.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(NUMBERS, TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 2 if take_two else len(bias)])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


@dataclass(slots=True)
class Installed:
    """A home with bundles in it, and a way to deploy them."""

    home: Home
    digests: dict[str, str] = field(default_factory=dict)

    def own(self, name: str) -> Path:
        """The folder of a bundle, `delay-1`, which all tests share, made this test's own: one that may be changed."""
        folder = self.home.runs / name
        shared = folder.resolve()
        folder.unlink()
        shutil.copytree(shared, folder)
        return folder

    def deploy(
        self, model: str, live: int, shadow: tuple[int, ...] = (), columns: Mapping[str, Any] | None = None
    ) -> Deployment:
        database = open_database(self.home)
        numbers = (live, *shadow)
        record = Deployment(
            model=model,
            generation=0,
            live=live,
            bundles={number: (f"runs/{model}-{number}", self.digests[f"{model}/{number}"]) for number in numbers},
            shadow=shadow,
            columns=columns or {},
            at=NOW,
        )
        with database.write() as tx:
            before = current(tx, model)
            done = deploy(tx, record, replaces=before.generation if before else None, who="test", why="test")
        database.close()
        return done


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, files: Mapping[str, Mapping[str, bytes]]) -> Installed:
    """Every bundle, written once, and a database of this release's schema. Not to be changed."""
    result = Installed(Home(tmp_path_factory.mktemp("bundles")).made())
    for name, content in files.items():
        result.digests[name] = write_bundle(result.home.runs / name.replace("/", "-"), content)
    open_database(result.home).close()
    return result


@pytest.fixture
def installed(tmp_path: Path, bundles: Installed) -> Installed:
    """A home with every bundle in place and nothing deployed."""
    return _installed(tmp_path / "home", bundles)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, bundles: Installed) -> Path:
    """The database of a home where `delay` version 1 is live. Not to be changed."""
    installed = _installed(tmp_path_factory.mktemp("live") / "home", bundles)
    installed.deploy("delay", 1)
    return installed.home.database


def _installed(folder: Path, bundles: Installed) -> Installed:
    home = Home(folder).made()
    for bundle in bundles.home.runs.iterdir():
        (home.runs / bundle.name).symlink_to(bundle)
    shutil.copy(bundles.home.database, home.database)
    return Installed(home, dict(bundles.digests))


@pytest.fixture
def start(installed: Installed) -> Iterator[Callable[..., Client]]:
    """Starts an application over `installed`; ends it with the test."""
    with applications(installed.home) as started:
        yield started


@pytest.fixture
def client(installed: Installed, live: Path, start: Callable[..., Client]) -> Client:
    """An application that serves `delay` version 1."""
    shutil.copy(live, installed.home.database)
    return start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, bundles: Installed, live: Path) -> Iterator[Client]:
    """The same for all tests of a file that look at its answers, or at what it never does: others have asked it before."""
    installed = _installed(tmp_path_factory.mktemp("shared") / "home", bundles)
    shutil.copy(live, installed.home.database)
    with applications(installed.home) as started:
        yield started()

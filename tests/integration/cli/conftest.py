"""A home with two versions that really answer: graphs written by hand, so that no training is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from flyball.cli.main import main
from flyball.engine.bundle import write_bundle
from flyball.engine.contract import Contract, Feature
from flyball.registry import live
from flyball.registry.records import Deployment, Lineage, Version
from flyball.registry.versions import register
from flyball.store import Database, Home, open_database

CONTRACT = Contract(
    model="churn",
    task="binary",
    features=(
        Feature(name="visits", kind="number", nullable=True, low=0.0, high=9.0),
        Feature(name="paid", kind="boolean", nullable=False),
        Feature(name="plan", kind="category", nullable=False, levels=("basic", "gold")),
    ),
    classes=("0", "1"),
    positive="1",
    example={"visits": 2.0, "paid": True, "plan": "basic"},
)


@dataclass(frozen=True, slots=True)
class Site:
    """A home, its database, and the command line."""

    home: Home
    database: Database

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--home", str(self.home.path)])


def graph(bias: float) -> bytes:
    """P(1) = sigmoid(visits - 2 paid + bias), a missing `visits` counted as 0; `plan` is taken and not used."""
    weights = numpy_helper.from_array(np.array([[1.0], [-2.0]], dtype=np.float32), "weights")
    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numbers"], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["answer"], axis=1),
        helper.make_node("Identity", ["categories"], ["unused"]),
    ]
    constants = [
        weights,
        numpy_helper.from_array(np.array([bias], dtype=np.float32), "bias"),
        numpy_helper.from_array(np.array([1.0], dtype=np.float32), "one"),
        numpy_helper.from_array(np.array(0.0, dtype=np.float32), "zero"),
    ]
    inputs = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("categories", TensorProto.STRING, [None, 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("unused", TensorProto.STRING, [None, 1]),
    ]
    made = helper.make_graph(nodes, "hand", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def add_version(home: Home, database: Database, number: int, *, bias: float) -> Version:
    """Write the bundle and register the version."""
    bundle = f"runs/run{number}/bundle"
    (home.path / bundle).parent.mkdir(parents=True)
    files = {"model.onnx": graph(bias), "contract.json": orjson.dumps(CONTRACT.to_json())}
    at = datetime(2013, 3, number, tzinfo=UTC)
    lineage = Lineage(
        run=f"run{number}",
        reason="manual",
        data_digest="a" * 64,
        data_rows=100,
        data_start=None,
        data_end=at,
        recipe_digest="b" * 64,
        git_commit=None,
        git_dirty=False,
        params={},
        seed=7,
        environment={},
        hardware="here",
        parent=None,
        gated_twin=None,
        mlflow_run=None,
    )
    version = Version(
        model="churn",
        number=number,
        label=f"churn-{number}",
        created_at=at,
        bundle=bundle,
        digest=write_bundle(home.path / bundle, files),
        metrics={},
        parity={},
        lineage=lineage,
        stage="none",
    )
    with database.write() as tx:
        return register(tx, version)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """v1 of churn live since 1 March 2013, v2 registered."""
    home = Home(tmp_path / "home")
    database = open_database(home)
    first = add_version(home, database, 1, bias=0.0)
    add_version(home, database, 2, bias=1.0)
    deployment = Deployment(
        model="churn",
        generation=0,
        live=1,
        bundles={1: (first.bundle, first.digest)},
        shadow=(),
        columns={},
        at=first.created_at,
    )
    with database.write() as tx:
        live.deploy(tx, deployment, replaces=None, who="flyball", why="the first version")
    return Site(home, database)

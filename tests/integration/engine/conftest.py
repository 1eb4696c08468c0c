"""Graphs as exporters write them, the table they are for, and what stands for one: from here to a bundle and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from flyball.engine.bundle import write_bundle
from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import infer_contract, kind_of_labels, labels_in
from flyball.engine.session import Engine, load_engine
from flyball.loop.engines import Standing, stand_in

ROWS = 400
FLOAT, DOUBLE, INT64, BOOL, STRING = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.STRING,
)


def table() -> pd.DataFrame:
    """Every kind of column, and targets of every task that follow from them."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 2)).astype(np.float32), columns=["x1", "x2"])
    frame["visits"] = rng.integers(0, 5, ROWS)
    frame["member"] = rng.random(ROWS) < 0.5
    frame["plan"] = rng.choice(["basic", "gold", "plus"], ROWS)
    frame["dep delay (min)"] = rng.normal(size=ROWS).astype(np.float32)
    frame["late"] = (frame["x1"] + rng.normal(size=ROWS) > 0).astype(int)
    frame["size"] = pd.cut(frame["x2"], [-99, -0.5, 0.5, 99], labels=["large", "mid", "small"]).astype(str)
    frame["cost"] = frame["x1"] * 3 + 10
    return frame


FRAME = table()
TARGETS = {"binary": "late", "multiclass": "size", "regression": "cost"}
X = FRAME[["x1", "x2"]].to_numpy()
#: weights of a small network: 2 -> 3 -> 1.
W1, B1 = np.float32([[1, -1, 0.5], [0.5, 1, -1]]), np.float32([0.1, 0, -0.1])
W2, B2 = np.float32([[1.0], [-2.0], [0.5]]), np.float32([0.2])


def value(name: str, element: int, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, element, shape)


def made(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    ml: int = 3,
    ir: int = 10,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    graph = helper.make_graph(nodes, "given", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def network(
    *, end: str | None = "Sigmoid", rows: Any = "rows", width: Any = 2, element: int = FLOAT, **options: Any
) -> onnx.ModelProto:
    """The small network, as an exporter writes it."""
    number = np.float64 if element == DOUBLE else np.float32
    weights = {name: array.astype(number) for name, array in {"W1": W1, "B1": B1, "W2": W2, "B2": B2}.items()}
    nodes = [
        helper.make_node("Gemm", ["input", "W1", "B1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["bent"]),
        helper.make_node("Gemm", ["bent", "W2", "B2"], ["logit"]),
    ]
    if end:
        nodes.append(helper.make_node(end, ["logit"], ["output"]))
    last = "output" if end else "logit"
    return made(nodes, [value("input", element, rows, width)], [value(last, element, rows, 1)], weights, **options)


def network_answer(x: Any) -> Any:
    """The same by hand."""
    hidden = np.maximum(x.astype(np.float64) @ W1 + B1, 0)
    return 1 / (1 + np.exp(-(hidden @ W2 + B2).ravel()))


def stood(
    model: Any, features: list[str], *, task: Any = "binary", positive: str | None = "1", **asked: Any
) -> tuple[Standing, Engine]:
    """What stands for the model, and the engine of its bundle as a worker loads it."""
    frame = asked.pop("frame", FRAME)
    folder = asked.pop("folder")
    labels = () if task == "regression" else labels_in(frame[TARGETS[task]])
    contract = infer_contract(
        frame,
        model="m",
        task=task,
        features=features,
        classes=[str(label) for label in labels],
        positive=positive if task == "binary" else None,
        label_kind=kind_of_labels(labels),
    )
    standing = stand_in(model, contract, frame, frame, folder / "native", **asked)
    digest = write_bundle(folder / "bundle", {**standing.files, "contract.json": orjson.dumps(contract.to_json())})
    return standing, load_engine(folder / "bundle", digest)


Serve = Callable[..., tuple[Standing, Engine]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    def served(model: Any, features: list[str], **asked: Any) -> tuple[Standing, Engine]:
        return stood(model, features, folder=tmp_path, **asked)

    return served


def scores(engine: Engine, frame: pd.DataFrame = FRAME) -> Any:
    return engine.predict(columns_from_frame(engine.contract, frame)).score


def embedding(kind: str = "LabelEncoder") -> onnx.ModelProto:
    """A text by its embedding, a number beside it, and a Softmax over three classes."""
    words = {"keys_strings": ["basic", "gold", "plus"], "values_int64s": [0, 1, 2], "default_int64": 3}
    if kind == "CategoryMapper":
        words = {"cats_strings": ["basic", "gold", "plus"], "cats_int64s": [0, 1, 2], "default_int64": 3}
    nodes = [
        helper.make_node(kind, ["plan"], ["code"], domain="ai.onnx.ml", **words),
        helper.make_node("Gather", ["table", "code"], ["answer"]),
        helper.make_node("Concat", ["x1", "answer"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [value("plan", STRING, "n"), value("x1", FLOAT, "n", 1)]
    outputs = [value("label", INT64, "n"), value("probabilities", FLOAT, "n", 3)]
    return made(nodes, inputs, outputs, {"table": EMBEDDING, "weights": WEIGHTS}, ml=1 if kind != "LabelEncoder" else 3)


EMBEDDING = np.float32([[1, 0], [0, 1], [-1, 1], [0.5, 0.5]])
WEIGHTS = np.float32([[1, -1, 0], [0.3, 0.1, -0.7], [0.2, 0.9, 0.4]])


def embedding_answer(frame: pd.DataFrame) -> Any:
    codes = frame["plan"].map({"basic": 0, "gold": 1, "plus": 2}).fillna(3).astype(int)
    logits = np.column_stack([frame["x1"], EMBEDDING[codes]]) @ WEIGHTS.astype(np.float64)
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def several(opset: int = 13) -> onnx.ModelProto:
    """As tf2onnx writes it: an input for each feature, of its own type."""
    nodes = [
        helper.make_node("Cast", ["visits:0"], ["visits"], to=FLOAT),
        helper.make_node("Cast", ["member:0"], ["member"], to=FLOAT),
        helper.make_node("Cast", ["x2"], ["narrow"], to=FLOAT),
        helper.make_node("Reshape", ["narrow", "tall"], ["column"]),
        helper.make_node("Concat", ["x1:0", "visits", "member", "column"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["Identity:0"]),
    ]
    inputs = [
        value("member:0", BOOL, "n", 1),
        value("visits:0", INT64, "n", 1),
        value("x1:0", FLOAT, "n", 1),
        value("x2", DOUBLE, "n"),
    ]
    weights = {"weights": np.float32([[2], [0.5], [-1], [3]]), "tall": np.int64([-1, 1])}
    return made(nodes, inputs, [value("Identity:0", FLOAT, "n", 1)], weights, opset=opset)

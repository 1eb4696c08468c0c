"""ONNX graphs that could answer wrongly are refused, with what to change, before they are versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from flyball.errors import Mistake
from tests.integration.engine.conftest import (
    DOUBLE,
    FLOAT,
    FRAME,
    INT64,
    ROWS,
    STRING,
    Serve,
    X,
    embedding,
    made,
    network,
    several,
    value,
)


def constant_rows(rows: int) -> onnx.ModelProto:
    """What a careless `view(1, -1)` becomes."""
    model = network(rows=rows)
    model.graph.node.insert(0, helper.make_node("Reshape", ["input", "shape"], ["shaped"]))
    model.graph.node[1].input[0] = "shaped"
    model.graph.initializer.append(numpy_helper.from_array(np.int64([rows, 2]), "shape"))
    return model


def across_rows() -> onnx.ModelProto:
    """A Softmax over the rows of the batch."""
    nodes = [helper.make_node("MatMul", ["X", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"], axis=0)]
    return made(nodes, [value("X", FLOAT, "n", 2)], [value("p", FLOAT, "n", 1)], {"w": np.float32([[1], [1]])})


def two_outputs() -> onnx.ModelProto:
    model = network()
    model.graph.output.append(value("bent", FLOAT, "rows", 3))
    return model


def foreign() -> onnx.ModelProto:
    nodes = [helper.make_node("Magic", ["X"], ["y"], domain="com.example")]
    model = made(nodes, [value("X", FLOAT, "n", 2)], [value("y", FLOAT, "n", 1)])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def renamed_input(name: str) -> onnx.ModelProto:
    model = several()
    model.graph.input[2].name = name
    for node in model.graph.node:
        node.input[:] = [name if item == "x1:0" else item for item in node.input]
    return model


TRAPS: dict[str, tuple[Callable[[], onnx.ModelProto], list[str], Any, str]] = {
    "logits": (lambda: network(end=None), ["x1", "x2"], "binary", r"lie outside \[0, 1\] .*End the graph in a Sigmoid"),
    "logits of three": (
        lambda: _cut(embedding(), "logits"),
        ["x1", "plan"],
        "multiclass",
        r"do not sum to 1 .*End the graph in a Softmax",
    ),
    "another width": (
        lambda: network(width=3),
        ["x1", "x2"],
        "binary",
        r"'input' takes 3 columns, and the contract has 2 features: x1, x2 \(those of `\[model\] features`",
    ),
    "an unknown input": (
        lambda: renamed_input("age"),
        ["x1", "x2", "visits", "member"],
        "regression",
        r"inputs age are none of the features x1, x2, visits, member; .*Rename",
    ),
    "a feature without input": (
        several,
        ["x1", "x2", "visits", "member", "plan"],
        "regression",
        r"no input for the features plan; leave them out by `\[model\] features`",
    ),
    "text for numbers": (
        network,
        ["x1", "plan"],
        "binary",
        r"inputs input are none of the features x1, plan",
    ),
    "fractions for int64": (
        several,
        ["x1", "x2", "visits", "member"],
        "fractions",
        r"'visits:0' takes int64, and column 'visits' holds fractions",
    ),
    "missing values for int64": (
        several,
        ["x1", "x2", "visits", "member"],
        "missing",
        r"'visits:0' takes int64, and column 'visits' holds missing values",
    ),
    "missing values in a network": (
        network,
        ["x1", "x2"],
        "gaps",
        r"answers 1 of 400 training rows with no finite number; .*Fill them in",
    ),
    "a fixed batch": (
        lambda: constant_rows(4),
        ["x1", "x2"],
        "binary",
        r"was exported for 4 rows, and answers no other number .*dynamic_shapes",
    ),
    "rows that hang together": (across_rows, ["x1", "x2"], "binary", r"does not answer any number of rows alike"),
    "an opset of the future": (
        lambda: network(opset=99),
        ["x1", "x2"],
        "binary",
        r"is not valid: .*opset \d+ and IR version \d+ at most|cannot load the ONNX model: .*older opset",
    ),
    "a format of the future": (
        lambda: network(ir=99),
        ["x1", "x2"],
        "binary",
        r"is not valid: .*IR version \d+ at most",
    ),
    "operators that are not there": (
        foreign,
        ["x1", "x2"],
        "regression",
        r"cannot load the ONNX model: .*It has operators of com\.example",
    ),
    "two outputs": (
        two_outputs,
        ["x1", "x2"],
        "binary",
        r"outputs are output \(float\), bent \(float\), of which 2 could",
    ),
    "too many classes": (
        network,
        ["x1", "x2"],
        "multiclass",
        r"'output' has 1 columns, and the training labels are 3: large, mid, small",
    ),
}


def _cut(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """With another tensor as its only float output."""
    del model.graph.output[:]
    model.graph.output.append(value(name, FLOAT, "n", 3))
    del model.graph.node[4:]
    return model


@pytest.mark.parametrize("trap", TRAPS)
def test_a_graph_that_could_answer_wrongly_is_refused_with_the_mend(serve: Serve, trap: str) -> None:
    """Before it is a version: nothing is guessed."""
    model, features, task, message = TRAPS[trap]
    frame = FRAME
    if task == "fractions":
        frame, task = FRAME.assign(visits=FRAME["visits"] + 0.5), "regression"
    elif task == "missing":
        frame, task = FRAME.assign(visits=FRAME["visits"].astype("Int64").mask(FRAME.index == 3)), "regression"
    elif task == "gaps":
        frame, task = FRAME.assign(x1=FRAME["x1"].mask(FRAME.index == 3)), "binary"
    with pytest.raises(Mistake, match=f"(?s){message}"):
        serve(model(), features, task=task, frame=frame)


def test_classes_that_the_graph_names_must_be_those_of_training(serve: Serve) -> None:
    """Else its first column would be taken for another's."""
    fitted = LogisticRegression().fit(X, FRAME["size"].map({"large": "c", "mid": "b", "small": "a"}))
    with pytest.raises(Mistake, match="classes are a, b, c, and the training labels, sorted, are large, mid, small"):
        serve(to_onnx(fitted, X), ["x1", "x2"], task="multiclass")


def test_what_float32_makes_of_doubles_is_counted(serve: Serve) -> None:
    """A threshold between two doubles that are one float32: every fourth row is answered otherwise, and none is served."""
    nodes = [
        helper.make_node("Greater", ["X", "edge"], ["over"]),
        helper.make_node("Cast", ["over"], ["y"], to=DOUBLE),
    ]
    model = made(nodes, [value("X", DOUBLE, "n", 1)], [value("y", DOUBLE, "n", 1)], {"edge": np.array([[0.1]])})
    frame = FRAME.assign(x1=np.where(np.arange(ROWS) % 4, 0.0, 0.1 - 1e-12), late=np.arange(ROWS) % 2)
    with pytest.raises(Mistake, match=r"100 of 400 rows differ .*float inputs"):
        serve(model, ["x1"], frame=frame)


def test_a_graph_takes_no_times(serve: Serve) -> None:
    """Neither as text nor as numbers: what they would mean there, the graph does not say."""
    frame = FRAME.assign(asked=pd.Timestamp("2013-08-01", tz="UTC"))
    for element in (STRING, FLOAT, INT64):
        nodes = [helper.make_node("Identity", ["x1"], ["y"])]
        model = made(nodes, [value("x1", FLOAT, "n", 1), value("asked", element, "n", 1)], [value("y", FLOAT, "n", 1)])
        with pytest.raises(Mistake, match="column 'asked' holds times, which no graph takes; give it numbers"):
            serve(model, ["x1", "asked"], frame=frame)


def test_a_graph_is_not_served_natively(serve: Serve) -> None:
    """There is no fitted model behind it."""
    with pytest.raises(Mistake, match=r"engine = \"native\" asks for a fitted model"):
        serve(network(), ["x1", "x2"], choice="native")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "the ONNX file model.onnx does not exist"),
        (lambda path: path.write_bytes(b"\x08\xff" * 50), "model.onnx holds no ONNX graph"),
        (lambda path: path.write_bytes(b""), "is not valid"),
        (lambda path: path.with_name("weights").unlink(), "weights in other files that cannot be read; save it with"),
        (lambda path: path.with_name("weights").write_bytes(b"short"), "weights in other files that cannot be read"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(serve: Serve, tmp_path: Path, spoil: Any, message: str) -> None:
    """With how to write it."""
    path = tmp_path / "model.onnx"
    onnx.save(network(), path, save_as_external_data=True, location="weights", size_threshold=0)
    spoil(path)
    with pytest.raises(Mistake, match=message):
        serve(path, ["x1", "x2"])


def test_a_model_whose_weights_stayed_in_a_file_is_refused(serve: Serve, tmp_path: Path) -> None:
    """Where that file is nobody knows later."""
    onnx.save(network(), tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    with pytest.raises(Mistake, match="lacks its weights, which lie in other files; save it with"):
        serve(model, ["x1", "x2"])

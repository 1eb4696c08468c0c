"""Models that come as ONNX graphs, each served by a real bundle, answer what they answered where they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from onnx import helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from flyball.engine.check import columns_from_records
from flyball.engine.frame import columns_from_frame
from tests.integration.engine.conftest import (
    DOUBLE,
    FLOAT,
    FRAME,
    ROWS,
    STRING,
    Serve,
    X,
    embedding,
    embedding_answer,
    made,
    network,
    network_answer,
    scores,
    several,
    value,
)


@pytest.mark.parametrize("positive", ["0", "1"])
def test_one_column_is_the_probability_of_positive(serve: Serve, positive: str) -> None:
    """Whichever class that is; the other's is what is missing to 1."""
    standing, engine = serve(network(), ["x1", "x2"], positive=positive)
    answer = engine.predict(columns_from_frame(engine.contract, FRAME))
    np.testing.assert_allclose(answer.score, network_answer(X), atol=1e-6)
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities[:, int(positive)], answer.score)
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, atol=1e-6)
    assert standing.parity["over_tolerance"] == 0


def test_the_proof_says_what_it_was_compared_with(serve: Serve) -> None:
    """Not a fitted model: there was none."""
    standing, _ = serve(network(), ["x1", "x2"])
    assert standing.parity["engine"] == "onnx"
    assert standing.parity["compared_with"] == "the graph as it came, run by ONNX Runtime"
    assert (standing.parity["rows"], standing.parity["passed"]) == (ROWS, True)
    assert set(standing.files) == {"model.onnx"}


@pytest.mark.parametrize("kind", ["LabelEncoder", "CategoryMapper"])
def test_an_embedding_of_text_answers_the_same(serve: Serve, kind: str) -> None:
    """One input for each feature; its own tensor called `answer` is not taken for ours, its label is left out."""
    _, engine = serve(embedding(kind), ["x1", "plan"], task="multiclass")
    answer = engine.predict(columns_from_frame(engine.contract, FRAME))
    np.testing.assert_allclose(answer.probabilities, embedding_answer(FRAME), atol=1e-6)
    assert [str(item.name) for item in engine.session.get_outputs()] == ["answer"]


def test_the_classes_are_the_labels_of_training_sorted(serve: Serve) -> None:
    """The graph's first column is `large`, whatever the table begins with."""
    _, engine = serve(embedding(), ["x1", "plan"], task="multiclass")
    assert engine.contract.classes == ("large", "mid", "small")
    best = np.array(["large", "mid", "small"])[embedding_answer(FRAME).argmax(axis=1)]
    assert engine.predict(columns_from_frame(engine.contract, FRAME)).prediction.tolist() == best.tolist()


def test_a_text_never_seen_is_what_the_graph_makes_of_it(serve: Serve) -> None:
    """And it is asked for as any other model is: by JSON's records."""
    _, engine = serve(embedding(), ["x1", "plan"], task="multiclass")
    rows = [{"x1": 0.5, "plan": "platinum"}, {"x1": -1.0, "plan": "gold"}]
    answer = engine.predict(columns_from_records(engine.contract, rows))
    np.testing.assert_allclose(answer.probabilities, embedding_answer(pd.DataFrame(rows)), atol=1e-6)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_pipeline_by_skl2onnx_answers_as_the_pipeline(serve: Serve, zipmap: bool) -> None:
    """As users export it: inputs renamed to identifiers, probabilities in a ZipMap, which is taken off."""
    names = ["dep delay (min)", "visits", "plan"]
    columns = ColumnTransformer([("n", "passthrough", names[:2]), ("c", OneHotEncoder(), ["plan"])])
    fitted = make_pipeline(columns, LogisticRegression()).fit(FRAME[names], FRAME["size"])
    model = to_onnx(fitted, FRAME[names], options={id(fitted): {"zipmap": zipmap}})
    standing, engine = serve(model, names, task="multiclass")
    answer = engine.predict(columns_from_frame(engine.contract, FRAME))
    np.testing.assert_allclose(answer.probabilities, fitted.predict_proba(FRAME[names]), atol=1e-5)
    assert standing.parity["over_tolerance"] == 0
    assert b"ZipMap" not in standing.files["model.onnx"]


def test_lightgbm_by_onnxmltools_answers_as_lightgbm(serve: Serve) -> None:
    """One matrix, in the order of the features; a ZipMap over 0 and 1."""
    booster = LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1).fit(X, FRAME["late"])
    model = convert_lightgbm(booster, initial_types=[("X", FloatTensorType([None, 2]))], target_opset=15)
    _, engine = serve(model, ["x1", "x2"])
    np.testing.assert_allclose(scores(engine), booster.predict_proba(X)[:, 1], atol=1e-5)


@pytest.mark.parametrize("opset", [9, 13, 21])
def test_an_input_for_each_feature_may_have_its_own_type_and_order(serve: Serve, opset: int) -> None:
    """bool, int64, float and double, as [n] or [n, 1]; with the forms that operators had in old opsets."""
    names = ["x1", "x2", "visits", "member"]
    _, engine = serve(several(opset), names, task="regression")
    expected = FRAME["x1"] * 2 + FRAME["visits"] * 0.5 - FRAME["member"] + FRAME["x2"] * 3
    np.testing.assert_allclose(scores(engine), expected, atol=1e-5)


def test_the_two_blocks_are_taken_as_they_are(serve: Serve) -> None:
    """`numbers` and `categories`, as Flyball's own graphs have them."""
    nodes = [
        helper.make_node("LabelEncoder", ["categories"], ["answer"], domain="ai.onnx.ml", **GOLD),
        helper.make_node("ReduceSum", ["numbers", "one"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "answer"], ["value"]),
    ]
    inputs = [value("numbers", FLOAT, None, 2), value("categories", STRING, None, 1)]
    model = made(nodes, inputs, [value("value", FLOAT, None, 1)], {"one": np.int64([1])})
    _, engine = serve(model, ["x1", "plan", "x2"], task="regression")
    np.testing.assert_allclose(scores(engine), X.sum(axis=1) + 10 * (FRAME["plan"] == "gold"), atol=1e-5)


GOLD = {"keys_strings": ["gold"], "values_floats": [10.0], "default_float": 0.0}


@pytest.mark.parametrize("shape", [("n",), ("n", 1)])
@pytest.mark.parametrize("element", [FLOAT, DOUBLE])
def test_a_regression_may_answer_in_one_column_or_none(serve: Serve, shape: Any, element: int) -> None:
    """In float or double, of a matrix of doubles."""
    nodes = [helper.make_node("MatMul", ["X", "w"], ["y"])]
    weights = {
        "w": np.array([2.0, -1.0] if len(shape) == 1 else [[2.0], [-1.0]], helper.tensor_dtype_to_np_dtype(element))
    }
    model = made(nodes, [value("X", element, "n", 2)], [value("y", element, *shape)], weights)
    _, engine = serve(model, ["x2", "x1"], task="regression")
    np.testing.assert_allclose(scores(engine), FRAME["x2"] * 2 - FRAME["x1"], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_graph_for_a_fixed_number_of_rows_is_freed_of_it(serve: Serve, rows: int) -> None:
    """And proven against itself, asked for that many at a time."""
    standing, engine = serve(network(rows=rows), ["x1", "x2"])
    np.testing.assert_allclose(scores(engine), network_answer(X), atol=1e-6)
    assert standing.parity["rows"] == ROWS
    assert standing.parity["over_tolerance"] == 0


def test_names_inside_branches_are_changed_too(serve: Serve) -> None:
    """A branch reads `answer`, which is a tensor of the graph around it and the name of our output."""
    inner = helper.make_graph(
        [helper.make_node("Mul", ["answer", "answer"], ["squared"])], "then", [], [value("squared", FLOAT, None, 1)]
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["answer"], ["same"])], "else", [], [value("same", FLOAT, None, 1)]
    )
    nodes = [
        helper.make_node("MatMul", ["X", "w"], ["answer"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=other),
    ]
    weights = {"w": np.float32([[1], [1]]), "yes": np.array(True)}
    model = made(nodes, [value("X", FLOAT, "n", 2)], [value("y", FLOAT, "n", 1)], weights)
    _, engine = serve(model, ["x1", "x2"], task="regression")
    np.testing.assert_allclose(scores(engine), X.sum(axis=1) ** 2, atol=1e-5)


def test_a_file_is_served_as_the_model_in_it(serve: Serve, tmp_path: Path) -> None:
    """Weights in a file beside it are read in: PyTorch writes them there unasked."""
    path = tmp_path / "model.onnx"
    onnx.save(network(), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    assert path.with_name("model.onnx.data").stat().st_size > 0
    _, engine = serve(path, ["x1", "x2"])
    np.testing.assert_allclose(scores(engine), network_answer(X), atol=1e-6)


def test_the_same_graph_is_wrapped_to_the_same_bytes(serve: Serve) -> None:
    """So that the same version has the same digest."""
    first, _ = serve(embedding(), ["x1", "plan"], task="multiclass")
    again, _ = serve(embedding(), ["x1", "plan"], task="multiclass")
    assert first.files == again.files

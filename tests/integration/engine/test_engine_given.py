"""Models that come as ONNX graphs, each served by a real bundle; and those that are refused, with what to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from flyball.engine.bundle import write_bundle
from flyball.engine.check import columns_from_records
from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import infer_contract, kind_of_labels, labels_in
from flyball.engine.session import Engine, load_engine
from flyball.errors import Mistake
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

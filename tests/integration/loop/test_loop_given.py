"""A project whose train step returns an ONNX graph, from training to a version that answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
import yaml

from flyball.cli.versions import render_version
from flyball.engine.session import load_engine
from flyball.errors import StepFailed
from flyball.loop import release
from flyball.loop.site import Site
from flyball.registry import live
from flyball.registry.versions import version
from tests.integration.loop.conftest import DAY, PIPELINE, SETTINGS, START, mlflow_versions, refreshed, write_project

pytestmark = pytest.mark.slow  # three training runs, each with its processes

#: after training: the graph by hand, as a network of one neuron; as it is, or as a file that the next run writes over.
EXPORT = """
def exported(fitted, run, params):
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    logistic = fitted[-1]
    weights = np.zeros((2, 1), np.float32)
    weights[: params["columns"], 0] = logistic.coef_[0]
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["p"])]
    graph = helper.make_graph(
        nodes[: None if params["sigmoid"] else 1],
        "neuron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("p" if params["sigmoid"] else "z", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(logistic.intercept_.astype("float32"), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    if not run.refit:
        return model
    path = Path(__file__).parent / "model.onnx"
    onnx.save(model, path)
    return path


@step
def collect"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """v1 live, v2 its refresh: graphs as they are at the gate, one file written over and over when refitted."""
    changed = PIPELINE.replace("\n@step\ndef collect", EXPORT, 1).replace(
        'return make_pipeline(columns, LogisticRegression()).fit(rows[["x1", "x2"]], y)',
        'return exported(make_pipeline(columns, LogisticRegression()).fit(rows[["x1", "x2"]], y), run, params)',
    )
    settings = SETTINGS.replace("columns = 1,", "columns = 2, sigmoid = true,")
    project = write_project(tmp_path_factory.mktemp("given") / "project", settings=settings, pipeline=changed)
    with refreshed(project) as site:
        yield site


def test_a_given_graph_passes_the_gate_and_goes_live(given: Site) -> None:
    """Scored beside its champion, which is one too, refitted, proven again, with all that reproduces it."""
    deployed = live.current(given.database, "late")
    assert deployed is not None
    assert deployed.live == 2
    second = version(given.database, "late", 2)
    assert second.lineage.parent == 1
    assert second.lineage.gated_twin is not None
    assert second.parity["compared_with"] == "the graph as it came, run by ONNX Runtime"
    assert second.parity["over_tolerance"] == 0
    assert second.label.startswith("late")
    assert "onnx" in second.label
    assert second.lineage.data_rows > version(given.database, "late", 1).lineage.data_rows
    assert "onnxruntime" in second.lineage.environment
    assert 0.7 < second.metrics["auc"].value < 0.95


@pytest.mark.parametrize("number", [1, 2])
def test_its_bundle_holds_a_graph_and_nothing_pickled(given: Site, number: int) -> None:
    """Answers follow x1 and x2; the graph was exported for one row, and answers two."""
    made = version(given.database, "late", number)
    folder = given.home.path / made.bundle
    assert {path.name for path in folder.iterdir()} == {
        *("model.onnx", "contract.json", "profile.json", "importance.json", "parity.json", "manifest.json")
    }
    engine = load_engine(folder, made.digest)
    assert engine.contract.classes == ("0", "1")
    assert engine.contract.label_kind == "integer"
    answer = engine.predict({"x1": np.float32([0, 3]), "x2": np.float32([0, 3])}).score
    assert 0.4 < answer[0] < 0.6
    assert answer[1] > 0.95


def test_a_run_keeps_the_graph_and_not_the_path_of_its_file(given: Site) -> None:
    """Four trainings, of which two have written the same file: all four are there, and none is a pickle."""
    runs = [given.home.runs / version(given.database, "late", number).lineage.run for number in (1, 2)]
    kept = [path.read_bytes() for run in runs for path in run.glob("**/value.onnx")]
    assert len(kept) == len(set(kept)) == 4
    assert not [path for run in runs for path in run.glob("**/*.pickle")]


def test_mlflow_has_the_graph_as_it_came(given: Site) -> None:
    """In its own flavour for ONNX, which asks for no package that made it."""
    run = mlflow_versions(given)[2]
    (folder,) = given.home.mlflow.glob(f"**/{run}/artifacts/model")
    about = yaml.safe_load((folder / "MLmodel").read_text())
    assert set(about["flavors"]) == {"onnx", "python_function"}
    model = onnx.load(folder / about["flavors"]["onnx"]["data"])
    assert [item.name for item in model.graph.input] == ["x"]
    names = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert names >= {"onnx", "onnxruntime"}
    assert not names & {"scikit-learn", "lightgbm"}


def test_show_says_what_it_was_compared_with(given: Site) -> None:
    """In the line of the proof."""
    text = render_version(version(given.database, "late", 2))
    (proof,) = [line for line in text.splitlines() if line.startswith("parity")]
    assert "compared_with the graph as it came, run by ONNX Runtime" in proof


def test_logits_fail_the_run_with_the_mend(given: Site) -> None:
    """And what is live stays."""
    with pytest.raises(StepFailed, match=r"they are no probabilities\. End the graph in a Sigmoid"):
        release.retrain(given, now=START + 8 * DAY, why="somebody forgot", params={"sigmoid": False})
    deployed = live.current(given.database, "late")
    assert deployed is not None
    assert deployed.live == 2

"""`flyball adopt`: models that plain MLflow logged, or ONNX files, become versions that a real worker serves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from flyball.cli.main import main
from flyball.project.load import load_project
from flyball.registry import live
from flyball.registry.decisions import decisions
from flyball.registry.versions import versions
from flyball.store import Home, open_database

pytestmark = pytest.mark.slow

FEATURES = ["age", "income", "city"]
NUMBERS = ["age", "income"]

#: the command in a process of its own.
FLYBALL = (sys.executable, "-c", "from flyball.cli.main import main; main()")


#: plain MLflow code, in a process that knows nothing of Flyball: logs five models, and keeps what each says to new rows.
MAKER = """
import sys

import mlflow.lightgbm, mlflow.pyfunc, mlflow.sklearn, mlflow.xgboost
import numpy as np
import onnx
import pandas as pd
from lightgbm import LGBMClassifier
from mlflow.models import infer_signature
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

mlflow.set_tracking_uri(sys.argv[1])
rows, new = pd.read_parquet("history.parquet"), pd.read_parquet("new.parquet")
numeric, features, numbers = pd.read_csv("numbers.csv"), ["age", "income", "city"], ["age", "income"]
y = rows["churned"]


class Odds(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return 1 / (1 + np.exp(-(model_input["age"].to_numpy(dtype=np.float64) - 50) / 10))


pipeline = make_pipeline(
    make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), ["city"]),
    ),
    LogisticRegression(),
).fit(rows[features], y)
trees = LGBMClassifier(n_estimators=20, verbose=-1).fit(numeric[numbers], y)
boosted = XGBClassifier(n_estimators=20, max_depth=3).fit(numeric[numbers], y)
line = LinearRegression().fit(numeric[["age"]], numeric["income"])
signature = infer_signature(rows[features], pipeline.predict(rows[features]))
kept = {"name": "model", "serialization_format": "cloudpickle"}
with mlflow.start_run() as run:
    mlflow.sklearn.log_model(pipeline, registered_model_name="churn", signature=signature, **kept)
mlflow.lightgbm.log_model(trees, registered_model_name="trees", **kept)
mlflow.xgboost.log_model(boosted, name="model", registered_model_name="boosted")
mlflow.pyfunc.log_model(python_model=Odds(), name="model", registered_model_name="odds")
mlflow.sklearn.log_model(line, registered_model_name="line", **kept)

matrix = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [0.1, 0.0])
bias = helper.make_tensor("b", TensorProto.FLOAT, [1], [-5.0])
nodes = [
    helper.make_node("MatMul", ["x", "w"], ["m"]),
    helper.make_node("Add", ["m", "b"], ["z"]),
    helper.make_node("Sigmoid", ["z"], ["p"]),
]
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
p = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 1])
graph = helper.make_graph(nodes, "g", [x], [p], [matrix, bias])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), "ages.onnx")

odds = Odds().predict(None, new)
np.savez(
    "says.npz",
    churn=pipeline.predict_proba(new[features])[:, 1],
    trees=trees.predict_proba(new[numbers])[:, 1],
    boosted=boosted.predict_proba(new[numbers])[:, 1],
    odds=odds,
    ages=odds,
)
with open("run.txt", "w") as file:
    file.write(run.info.run_id)
"""


def rows_of(count: int, seed: int) -> pd.DataFrame:
    """`churned` mostly follows `age`; incomes and cities are missing here and there."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "customer_id": range(count),
            "age": random.integers(18, 80, count),
            "income": random.normal(50, 10, count).astype(np.float32).astype(np.float64),
            "city": random.choice(["Lyon", "Metz", "Nice"], count),
        }
    )
    rows.loc[random.random(count) < 0.1, "income"] = np.nan
    rows.loc[random.random(count) < 0.1, "city"] = None
    rows["churned"] = ((rows["age"] > 50) ^ (random.random(count) < 0.1)).astype(int)
    return rows


@dataclass(frozen=True)
class World:
    """A folder with an MLflow store that knows nothing of Flyball, and reference tables."""

    folder: Path
    uri: str
    #: run of the scikit-learn model.
    run: str

    def file(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("models")
    uri = f"sqlite:///{folder / 'logged.db'}"
    rows = rows_of(500, seed=0)
    rows.to_parquet(folder / "history.parquet")
    rows_of(60, seed=5).to_parquet(folder / "new.parquet")
    rows.drop(columns="city").fillna({"income": 50.0}).to_csv(folder / "numbers.csv", index=False)
    rows.head(0).to_csv(folder / "empty.csv", index=False)
    rows.assign(churned=rows["churned"].map({0: "no", 1: "yes"})).to_parquet(folder / "yes.parquet")
    rows.assign(age=rows["age"].map("about {}".format)).to_parquet(folder / "texts.parquet")
    subprocess.run([sys.executable, "-c", MAKER, uri], cwd=folder, check=True, capture_output=True, timeout=240)
    return World(folder=folder, uri=uri, run=(folder / "run.txt").read_text())


def adopt(world: World, project: Path, source: str, reference: str, *words: str, uri: str | None = None) -> Result:
    environment = {"MLFLOW_TRACKING_URI": uri or world.uri}
    words = ("adopt", source, "--reference", world.file(reference), "--project", str(project), *words)
    return CliRunner().invoke(main, list(words), env=environment)


@pytest.fixture(scope="module")
def home(world: World, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Five models, adopted into one home."""
    place = tmp_path_factory.mktemp("adopted")
    kept = ("--home", str(place / "home"), "--target", "churned")
    for name, reference in (
        ("churn", "history.parquet"),
        ("trees", "numbers.csv"),
        ("boosted", "numbers.csv"),
    ):
        done = adopt(world, place / name, f"models:/{name}/1", reference, *kept)
        assert done.exit_code == 0, done.output
        assert f"{name} v1 → live" in done.output
    done = adopt(world, place / "odds", "models:/odds/1", "numbers.csv", *kept)
    assert done.exit_code == 0, done.output
    done = adopt(world, place / "ages", world.file("ages.onnx"), "numbers.csv", *kept, "--key", "customer_id")
    assert done.exit_code == 0, done.output
    return Home(place / "home")


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*FLYBALL, "--home", str(home.path), "serve", "--port", str(port), "--workers", "1"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while not _ready(url):
        assert process.poll() is None
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(30)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


def asked(url: str, model: str, rows: pd.DataFrame, features: list[str]) -> list[float]:
    inputs = orjson.loads(rows[features].to_json(orient="records"))
    request = urllib.request.Request(f"{url}/models/{model}/predict", data=orjson.dumps({"inputs": inputs}))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(orjson.loads(answer.read())["predictions"])


@pytest.mark.parametrize(
    ("model", "features"),
    [
        ("churn", FEATURES),
        ("trees", NUMBERS),
        ("boosted", NUMBERS),
        ("odds", ["customer_id", *NUMBERS]),
        ("ages", NUMBERS),
    ],
)
def test_an_adopted_model_answers_over_http_what_it_answers_itself(
    world: World, server: str, model: str, features: list[str]
) -> None:
    """Rows it never met, strings and missing values among them, within 1e-5."""
    rows = pd.read_parquet(world.file("new.parquet"))
    known = rows["income"].notna() | (model == "churn")  # the others' tables had all incomes
    says = np.load(world.file("says.npz"))[model]
    assert np.allclose(asked(server, model, rows[known], features), says[known], atol=1e-5)


def test_a_version_says_that_it_was_adopted_and_what_is_not_known(world: World, home: Home) -> None:
    """Source, flavour and reference stand in its lineage; the verdict says that the rows may have been trained on."""
    database = open_database(home, {})
    made = versions(database, "churn")[0]
    assert made.lineage.reason == "adopted"
    assert made.lineage.adopted is not None
    assert made.lineage.adopted["source"] == "models:/churn/1"
    assert made.lineage.adopted["flavour"] == "sklearn"
    assert made.lineage.adopted["seen"] == "unknown"
    assert made.lineage.mlflow_run == world.run
    assert made.label.endswith("-sklearn")
    assert made.lineage.data_rows == 500
    told = [item.reason for item in decisions(database, "churn") if item.kind == "gate"]
    assert "may have been trained on these rows" in told[0]


def test_a_graph_serves_what_can_be_compiled_and_the_model_itself_what_cannot(home: Home) -> None:
    database = open_database(home, {})
    engines = {
        name: versions(database, name)[0].parity["engine"] for name in ("churn", "trees", "boosted", "odds", "ages")
    }
    assert engines == {"churn": "onnx", "trees": "onnx", "boosted": "onnx", "odds": "native", "ages": "onnx"}


def test_what_was_inferred_is_written_down_and_checks(home: Home) -> None:
    """The written project is a legal one, without a pipeline; nothing can be trained by it."""
    project = load_project(home.path.parent / "churn")
    assert (project.model.adopted, project.model.task, project.model.positive) == (True, "binary", "1")
    assert (project.model.key, project.model.features) == ("customer_id", tuple(FEATURES))
    place = ("--project", str(project.directory), "--home", str(home.path))
    assert CliRunner().invoke(main, ["check", *place]).exit_code == 0
    refused = CliRunner().invoke(main, ["run", *place])
    assert refused.exit_code == 2
    assert "has no pipeline to train by" in refused.output


def test_the_same_model_with_the_same_table_is_one_version(world: World, home: Home) -> None:
    where = home.path.parent / "churn"
    again = adopt(world, where, f"runs:/{world.run}/model", "history.parquet", "--home", str(home.path))
    assert again.exit_code == 0, again.output
    assert "churn v1 is this model with this table already" in again.output
    assert len(versions(open_database(home, {}), "churn")) == 1


def test_another_model_must_be_better_on_the_reference(world: World, tmp_path: Path) -> None:
    """The second adoption is a candidate: the `change` rules are asked on the table's rows."""
    kept = ("--target", "churned")
    first = adopt(world, tmp_path / "p", "models:/trees/1", "numbers.csv", *kept)
    assert first.exit_code == 0, first.output
    second = adopt(world, tmp_path / "p", "models:/churn/1", "history.parquet")
    assert second.exit_code == 2, second.output
    assert "the model was fitted on age, income, city" in second.output
    second = adopt(world, tmp_path / "p", "models:/boosted/1", "numbers.csv", "--fail-on-refusal")
    assert second.exit_code == 3, second.output
    assert "auc > champion.auc" in second.output
    assert "may have been trained on these rows" in second.output
    database = open_database(Home(tmp_path / "p" / ".flyball"), {})
    deployed = live.current(database, "trees")
    assert deployed is not None
    assert deployed.live == 1


def test_two_at_once_make_one_version(world: World, tmp_path: Path) -> None:
    """Both end; one of them adopts, the other finds it under way or done."""
    command = [*FLYBALL, "adopt", "models:/trees/1"]
    command += ["--reference", world.file("numbers.csv"), "--target", "churned", "--project", str(tmp_path)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": world.uri}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=180)[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1]), told
    assert len(versions(open_database(Home(tmp_path / ".flyball"), {}), "trees")) == 1


@pytest.mark.parametrize(
    ("source", "reference", "words", "says"),
    [
        ("models:/churn/1", "history.parquet", ["--target", "left"], "the target 'left' is not in the reference table"),
        ("models:/churn/1", "history.parquet", [], "which column is the target?"),
        ("models:/churn/1", "numbers.csv", ["--target", "churned"], "lacks features of the model: city"),
        ("models:/churn/9", "history.parquet", ["--target", "churned"], "models:/churn/9 is not known to MLflow"),
        ("ages.onnx", "history.parquet", ["--target", "churned"], "the graph's inputs x are none of the features"),
        ("nothing.onnx", "history.parquet", ["--target", "churned"], "there is no"),
        ("models:/churn/1", "nothing.parquet", ["--target", "churned"], "--reference names a table"),
        ("models:/churn/1", "empty.csv", ["--target", "churned"], "has no rows"),
        (
            "models:/churn/1",
            "yes.parquet",
            ["--target", "churned"],
            "has classes that the model does not know: no, yes",
        ),
        ("models:/churn/1", "texts.parquet", ["--target", "churned"], "'age' holds"),
        ("models:/line/1", "numbers.csv", ["--target", "income", "--task", "binary"], "is a regressor"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_leaves_nothing(
    world: World, tmp_path: Path, source: str, reference: str, words: list[str], says: str
) -> None:
    there = world.file(source) if source.endswith(".onnx") else source
    done = adopt(world, tmp_path, there, reference, *words)
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert not (tmp_path / "flyball.toml").exists()
    assert not (tmp_path / ".flyball").exists()

"""`flyball adopt` of a PyTorch network: one that MLflow's flavour has registered, in a process of its own, and one that
torch.onnx has exported, as a graph. Both answer what the network answers itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flyball.registry import live
from flyball.registry.versions import versions
from flyball.store import Home, open_database

pytestmark = pytest.mark.slow

#: PyTorch takes 0.9 GB: looked for in an environment beside this one that sees this one's packages by a .pth, then in this.
PYTHON = Path(sys.prefix) / "tools" / "torch" / "bin" / "python"

#: plain PyTorch and MLflow code: a network of two layers, and what it says to new rows.
MAKER = """
import mlflow.pytorch
import numpy as np
import pandas as pd
import torch
from mlflow.models import infer_signature

mlflow.set_tracking_uri("sqlite:///logged.db")
rows, new = pd.read_csv("history.csv"), pd.read_csv("new.csv")
columns = lambda table: torch.tensor(table[["age", "income"]].to_numpy(), dtype=torch.float32)
torch.manual_seed(0)
y = torch.tensor(rows["churned"].to_numpy(), dtype=torch.float32)[:, None]
net = torch.nn.Sequential(
    torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1), torch.nn.Sigmoid()
)
best = torch.optim.Adam(net.parameters(), 0.05)
for _ in range(50):
    best.zero_grad()
    torch.nn.functional.binary_cross_entropy(net(columns(rows)), y).backward()
    best.step()
net.eval()
said = net(columns(new)).detach().numpy()
signature = infer_signature(rows[["age", "income"]].astype(np.float32), said)
requires = ["torch"]
mlflow.pytorch.log_model(
    net, name="model", registered_model_name="net", signature=signature, serialization_format="pickle",
    pip_requirements=requires,
)
np.save("says.npy", said[:, 0])
example = columns(rows)
torch.onnx.export(
    net, (example,), "exported.onnx", input_names=["rows"], output_names=["churned"], dynamo=True,
    dynamic_shapes=({0: torch.export.Dim("n")},),
)
"""


@pytest.fixture
def python() -> str:
    """An interpreter that has PyTorch."""
    found = str(PYTHON) if PYTHON.exists() else sys.executable
    if subprocess.run([found, "-c", "import torch"], capture_output=True, check=False).returncode:
        pytest.skip(f"PyTorch is not installed, nor is {PYTHON.relative_to(sys.prefix)} in the environment")
    return found


def rows_of(count: int, seed: int) -> pd.DataFrame:
    """`churned` mostly follows `age`."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"age": random.normal(50, 10, count), "income": random.normal(50, 10, count)})
    return rows.astype(np.float32).assign(churned=(rows["age"] + random.normal(0, 5, count) > 50).astype(int))


@pytest.mark.parametrize(
    ("source", "model", "engine"), [("models:/net/1", "net", "native"), ("exported.onnx", "exported", "onnx")]
)
def test_a_network_is_adopted_in_one_command_and_answers_as_itself(
    python: str, tmp_path: Path, source: str, model: str, engine: str
) -> None:
    """v1 is live after its gate, has the engine that its form allows, and answers within 1e-6."""
    rows_of(500, seed=0).to_csv(tmp_path / "history.csv", index=False)
    rows_of(50, seed=1).to_csv(tmp_path / "new.csv", index=False)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'logged.db'}"}

    def do(*words: str) -> str:
        done = subprocess.run(
            [python, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    flyball = ("-c", "from flyball.cli.main import main; main()")
    do("-c", MAKER)
    told = do(*flyball, "adopt", source, "--reference", "history.csv", "--target", "churned", "--project", "p")
    assert f"{model} v1 → live" in told
    database = open_database(Home(tmp_path / "p" / ".flyball"), {})
    (made,) = versions(database, model)
    deployed = live.current(database, model)
    assert deployed is not None
    assert (deployed.live, made.parity["engine"], made.lineage.data_rows) == (1, engine, 500)
    rows_of(50, seed=1).drop(columns="churned").to_csv(tmp_path / "asked.csv", index=False)
    do(*flyball, "predict", f"{model}@1", "asked.csv", "answers.csv", "--project", "p")
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert np.allclose(answers["prediction"], np.load(tmp_path / "says.npy"), atol=1e-6)
    shutil.rmtree(tmp_path / "p")

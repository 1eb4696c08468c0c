"""Evidently's report and whylogs' profiles, made and read by the real packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from flyball.engine.contract import Contract, Feature
from flyball.errors import Unavailable
from flyball.export.evidently import columns_as_kinds, evidently_files
from flyball.export.whylogs import whylogs_files

CONTRACT = Contract(
    model="churn",
    task="binary",
    features=(
        Feature(name="visits", kind="number", nullable=True, low=0.0, high=9.0),
        Feature(name="plan", kind="category", nullable=False, levels=("basic", "gold")),
    ),
    classes=("0", "1"),
    positive="1",
    example={"visits": 2.0, "plan": "basic"},
)
TOOLS = Path(sys.prefix) / "tools"

#: In the tool's environment: its own packages first, then those of this one, and ours.
WRITE = """
import sys; sys.path += sys.argv[2:]
from pathlib import Path
from tests.integration.export.test_export_neighbours import CONTRACT, day, reference
from flyball.export.{tool} import {tool}_files
for name, content in {tool}_files("churn", CONTRACT, day(), reference()).items():
    Path(sys.argv[1], name).write_bytes(content if isinstance(content, bytes) else content.encode())
"""
READ = """
import sys; sys.path += sys.argv[2:]
from pathlib import Path
from whylogs.core import DatasetProfileView
for name in ("churn.bin", "churn-reference.bin"):
    view = DatasetProfileView.read(str(Path(sys.argv[1], name)))
    counts = {column: view.get_column(column).get_metric("counts") for column in ("visits", "plan")}
    print([(item.n.value, item.null.value) for item in counts.values()])
"""


def reference() -> pd.DataFrame:
    random = np.random.default_rng(5)
    return pd.DataFrame({"visits": random.normal(4.0, 1.0, 500), "plan": random.choice(["basic", "gold"], 500)})


def day() -> pd.DataFrame:
    """`visits` has moved by two standard deviations, and lacks ten; `plan` is as it was."""
    random = np.random.default_rng(6)
    visits = random.normal(6.0, 1.0, 400)
    visits[:10] = np.nan
    return pd.DataFrame({"visits": visits, "plan": random.choice(["basic", "gold"], 400)})


def run(tool: str, code: str, folder: Path) -> str:
    python = TOOLS / tool / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{tool} is not installed: no {python.relative_to(sys.prefix)} in the environment")
    root = Path(__file__).parents[3]
    ours = [str(root), str(root / "src"), *(path for path in sys.path if path.endswith("site-packages"))]
    argv = [str(python), "-c", code, str(folder), *ours]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_evidently_tells_the_feature_that_moved(tmp_path: Path) -> None:
    """Its own page, and its own JSON: `visits` drifted, `plan` did not, by its own rules for 500 rows."""
    run("evidently", WRITE.format(tool="evidently"), tmp_path)
    assert b"<html" in (tmp_path / "churn.html").read_bytes()[:2000].lower()
    found = orjson.loads((tmp_path / "churn.json").read_bytes())
    scores = {item["config"]["column"]: item["value"] for item in found["metrics"] if "column" in item["config"]}
    assert scores["visits"] < 0.05 < scores["plan"]


@pytest.mark.slow
def test_whylogs_reads_its_profiles_again(tmp_path: Path) -> None:
    """Rows and missing values, of the day and of the reference."""
    run("whylogs", WRITE.format(tool="whylogs"), tmp_path)
    read = run("whylogs", READ, tmp_path).splitlines()
    assert read == ["[(400, 10), (400, 0)]", "[(500, 0), (500, 0)]"]


@pytest.mark.parametrize(
    ("files", "extra"), [(evidently_files, "flyball[evidently]"), (whylogs_files, "flyball[whylogs]")]
)
def test_without_the_package_the_extra_is_named(files: object, extra: str) -> None:
    """They are in no environment of ours: each has packages that ours need newer."""
    with pytest.raises(Unavailable, match="pip install") as told:
        files("churn", CONTRACT, day(), reference())  # type: ignore[operator]
    assert extra in str(told.value)


def test_both_sides_are_read_alike() -> None:
    """Numbers as doubles whatever held them, booleans and labels as text, missing as missing."""
    rows = pd.DataFrame({"n": ["1", None, "x"], "b": [True, None, False]})
    found = columns_as_kinds(rows, ["n"], ["b"])
    assert found["n"].fillna(-1.0).tolist() == [1.0, -1.0, -1.0]
    assert found["b"].tolist() == ["True", None, "False"]

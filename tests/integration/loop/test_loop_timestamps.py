"""A project whose model looks at a time, from training to a version that answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flyball.engine.session import load_engine
from flyball.loop import release
from flyball.loop.site import open_site
from flyball.project.load import load_project
from flyball.registry.versions import version
from flyball.stats.profile import CONFIDENCE, SCORE
from flyball.stats.profile_file import reference_from_bytes
from flyball.store import Home, open_database
from tests.integration.loop.conftest import PIPELINE, START, write_project

pytestmark = pytest.mark.slow  # a training run with several native processes

#: the hour where the clock hangs stands in for the model's second column.
LOCAL = """
from sklearn.preprocessing import FunctionTransformer


def by_hour(rows):
    return rows.assign(asked=(rows["asked"].dt.hour >= 12).astype(float))
"""


def test_a_time_goes_from_the_table_to_the_answer(tmp_path: Path) -> None:
    """Its zone survives the steps; it is part of the contract, and of no reference for drift."""
    project = write_project(tmp_path / "project")
    rows = pd.read_parquet(project / "rows.parquet")
    half = pd.Timedelta(12, "h") * (rows["x2"] > 0).astype(int)
    asked = pd.Series(pd.Timestamp("2013-01-01T03:00", tz="Asia/Kathmandu") + half)
    rows.assign(asked=asked).drop(columns="x2").to_parquet(project / "rows.parquet", index=False)
    pipeline = PIPELINE.replace("make_pipeline(columns, ", "make_pipeline(FunctionTransformer(by_hour), ")
    pipeline = pipeline.replace('rows[["x1", "x2"]], y', 'rows[["x1", "asked"]], y')
    (project / "pipeline.py").write_text(LOCAL + pipeline)
    settings = (project / "flyball.toml").read_text()
    (project / "flyball.toml").write_text(settings.replace('"auc >= 0.55"', '"auc >= 0.55", "p99_ms <= 2000"'))
    home = Home(tmp_path / "home")
    database = open_database(home)
    with open_site(load_project(project), home, database, lambda _: None) as site:
        assert release.retrain(site, now=START, reason="first", why="the first version").passed
    first = version(database, "late", 1)
    database.close()
    assert (first.parity["engine"], first.parity["over_tolerance"]) == ("native", 0)
    folder = home.path / first.bundle
    engine = load_engine(folder, first.digest)
    (feature,) = [item for item in engine.contract.features if item.name == "asked"]
    assert (feature.kind, feature.timezone, feature.nullable) == ("timestamp", "Asia/Kathmandu", False)
    assert (feature.earliest, feature.latest) == ("2012-12-31T21:15:00.000000Z", "2013-01-01T09:15:00.000000Z")
    assert set(reference_from_bytes((folder / "profile.json").read_bytes()).features) == {"x1", SCORE, CONFIDENCE}
    # 11:59 and 12:00 in Kathmandu.
    times = np.array(["2013-04-01T06:14:00.000000Z", "2013-04-01T06:15:00.000000Z"], dtype=object)
    morning, noon = engine.predict({"x1": np.float32([0, 0]), "asked": times}).score
    assert noon - morning > 0.2

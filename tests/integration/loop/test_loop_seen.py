"""Rows that carry no time: whether a model has seen the held-out ones, by what split handed out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flyball.loop import release
from flyball.loop.site import open_site
from flyball.project.load import load_project
from flyball.registry.versions import version
from flyball.store import Home, open_database
from tests.integration.loop.conftest import DAY, START, rows_of, write_project

SETTINGS = """
[model]
name = "late"
task = "binary"
target = "y"

[pipeline]
params = { split = true, older = false }

[gate]
change = ["auc >= champion.auc - 0.05"]
refresh = ["auc >= champion.auc - 0.05"]
always = ["auc >= 0.55"]
refit = false

[rollout]
strategy = "direct"
"""

PIPELINE = """
from pathlib import Path

import pandas as pd
from sklearn.linear_model import LogisticRegression

from flyball import split, step


@step
def collect():
    return pd.read_parquet(Path(__file__).parent / "rows.parquet", columns=["x1", "x2", "y"])


@step
def train(collect, run, params):
    rows = split(collect, run, share=0.2)[0] if params["split"] else collect
    return LogisticRegression().fit(rows[["x1", "x2"]], rows["y"])


@step
def validate(collect, run, params):
    rows, held_out = split(collect, run, share=0.2)
    return pd.concat([rows.head(15), held_out]) if params["older"] else held_out
"""


@pytest.mark.slow
def test_without_times_no_model_is_judged_on_rows_it_has_seen(tmp_path: Path) -> None:
    """Fitted on all rows: refused. On a grown table: the champion has seen none of what is held out. A few older rows
    besides: left out where the champion knows them.
    """
    project = write_project(tmp_path / "project", settings=SETTINGS, pipeline=PIPELINE)
    database = open_database(Home(tmp_path / "home"))
    with open_site(load_project(project), Home(tmp_path / "home"), database, lambda _: None) as site:
        made = release.retrain(site, now=START, reason="first", why="on all rows", params={"split": False})
        (broken,) = [item for item in made.verdict.results if not item.passed]
        assert (made.passed, broken.rule, broken.candidate) == (False, "held-out rows are unseen", 1.0)
        assert "call split() in the model step, or give it a table without them" in broken.why
        assert version(database, "late", 1).lineage.data_rows == 9_000

        assert release.retrain(site, now=START + DAY, why="the first version").passed
        lineage = version(database, "late", 2).lineage
        assert 7_000 < lineage.data_rows < 7_400

        grown = pd.concat([rows_of(days=20, seed=4), rows_of(days=60, seed=3)])
        grown.to_parquet(project / "rows.parquet", index=False)
        made = release.retrain(site, now=START + 2 * DAY, why="more rows")
        assert (made.passed, made.verdict.occasion, made.verdict.caveat) == (True, "refresh", None)
        assert made.verdict.rows == 12_000 - version(database, "late", 3).lineage.data_rows

        made = release.retrain(site, now=START + 3 * DAY, why="older rows too", params={"older": True})
        assert made.verdict.caveat == "15 held-out rows that v3 was trained on are left out"
    database.close()

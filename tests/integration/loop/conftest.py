"""A small project with one live version, made once; every test gets a home of its own that begins there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from flyball.engine.session import load_engine
from flyball.journal.line import encode_outcomes, encode_predictions
from flyball.journal.segment import Segment
from flyball.loop import release
from flyball.loop.site import Site, open_site
from flyball.loop.telling import deliver_pending
from flyball.project.load import load_project
from flyball.registry.versions import version
from flyball.store import Home, open_database, stamp

#: when v1 became live: a Monday, one hour after the schedule's slot.
START = datetime(2013, 4, 8, 5, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST_ROW = datetime(2013, 3, 1, tzinfo=UTC)
ROWS_A_DAY = 150

SETTINGS = """
[model]
name = "late"
task = "binary"
target = "y"
key = "id"
timestamp = "at"

[pipeline]
schedule = "0 4 * * *"
params = { columns = 1, shuffle = false, turned = false, needs = "." }

[gate]
change = ["auc > champion.auc"]
refresh = ["auc >= champion.auc - 0.05"]
always = ["auc >= 0.55"]
refit = true

[rollout]
strategy = "direct"

[monitor]
label_delay = "1d"

[retrain]
on = ["schedule", "drift"]
cooldown = "3d"
"""

#: `columns`: how many of x1, x2 the model looks at; `shuffle`: learn from other rows' answers; `turned`: from the opposite, at a
#: refit; `needs`: a path that must be.
PIPELINE = """
from pathlib import Path

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from flyball import split, step


@step
def collect(window):
    return pd.read_parquet(Path(__file__).parent / "rows.parquet", filters=[("at", "<", window.end)])


@step
def train(collect, run, params, seed):
    if not Path(params["needs"]).exists():
        raise OSError("no such bucket")
    rows, _ = split(collect, run, newest="5d")
    y = rows["y"].sample(frac=1, random_state=seed).to_numpy() if params["shuffle"] else rows["y"].to_numpy()
    y = 1 - y if run.refit and params["turned"] else y
    columns = ColumnTransformer([("seen", "passthrough", ["x1", "x2"][: params["columns"]])])
    return make_pipeline(columns, LogisticRegression()).fit(rows[["x1", "x2"]], y)


@step
def validate(collect, run):
    _, held_out = split(collect, run, newest="5d")
    return held_out
"""


def rows_of(days: int, seed: int) -> pd.DataFrame:
    """y follows x1 and x2 alike."""
    random = np.random.default_rng(seed)
    count = days * ROWS_A_DAY
    x = random.normal(size=(count, 2)).astype(np.float32)
    y = random.random(count) < 1 / (1 + np.exp(-1.5 * x.sum(axis=1)))
    at = [FIRST_ROW + DAY * (number / ROWS_A_DAY) for number in range(count)]
    ids = [f"r{number}" for number in range(count)]
    table = pd.DataFrame({"id": ids, "at": at, "x1": x[:, 0], "x2": x[:, 1], "y": y.astype("int64")})
    return table.astype({"at": "datetime64[us, UTC]"})


def write_project(folder: Path, *, settings: str = SETTINGS, pipeline: str = PIPELINE) -> Path:
    folder.mkdir(parents=True)
    (folder / "flyball.toml").write_text(settings)
    (folder / "pipeline.py").write_text(pipeline)
    rows_of(days=60, seed=3).to_parquet(folder / "rows.parquet", index=False)
    return folder


@contextmanager
def refreshed(project: Path) -> Iterator[Site]:
    """The project with v1 live since START and v2, its refresh a week later; `p99_ms` is judged, for whatever machine."""
    toml = project / "flyball.toml"
    toml.write_text(toml.read_text().replace('"auc >= 0.55"', '"auc >= 0.55", "p99_ms <= 2000"'))
    home = Home(project.parent / "home")
    database = open_database(home)
    with open_site(load_project(project), home, database, lambda _: None) as site:
        release.retrain(site, now=START, reason="first", why="the first version")
        release.retrain(site, now=START + 7 * DAY, why="a week has passed")
        yield site
        database.close()


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The project with v1 live since START and all of it told. Not to be changed: `site` is a copy of it."""
    folder = tmp_path_factory.mktemp("late")
    home = Home(folder / "home")
    database = open_database(home)
    with open_site(load_project(write_project(folder / "project")), home, database, lambda _: None) as site:
        made = release.retrain(site, now=START, reason="first", why="the first version")
        assert made.passed
        deliver_pending(site, now=START)
        database.close()
        yield site
        database.close()


@pytest.fixture
def said() -> list[str]:
    """What the site told a person."""
    return []


@pytest.fixture
def site(begun: Site, tmp_path: Path, said: list[str]) -> Iterator[Site]:
    home = Home(tmp_path / "home")
    shutil.copytree(begun.home.path, home.path)
    database = open_database(home)
    yield replace(
        begun,
        home=home,
        database=database,
        tracking_uri=f"sqlite:///{home.mlflow / 'mlflow.db'}",
        artifact_location=str(home.mlflow / "artifacts"),
        say=said.append,
    )
    database.close()


def settled(site: Site, **sections: dict[str, Any]) -> Site:
    """The site with other settings: `settled(site, retrain={"cooldown_s": 0})`."""
    changed = {name: replace(getattr(site.project, name), **values) for name, values in sections.items()}
    return replace(site, project=replace(site.project, **changed))


Answer = Callable[..., list[str]]


@pytest.fixture
def answer(site: Site) -> Answer:
    """Journal what versions say to a day's rows, as a worker would."""

    def answered(
        day: datetime, *, count: int = 200, shift: float = 0.0, shadow: int | None = None, labels: bool = True
    ) -> list[str]:
        random = np.random.default_rng(day.toordinal())
        x = random.normal(size=(count, 2)).astype(np.float32) + np.float32(shift)
        ids = [f"{day:%m%d}-{number}" for number in range(count)]
        y = random.random(count) < 1 / (1 + np.exp(-1.5 * x.sum(axis=1)))
        for number, role in ((1, "live"), *([] if shadow is None else [(shadow, "shadow")])):
            _journal(site, number, role, ids, day, x)
        if labels:
            _tell(site, ids, day, y)
        return ids

    return answered


def _journal(site: Site, number: int, role: Any, ids: list[str], day: datetime, x: npt.NDArray[np.float32]) -> None:
    bundle = version(site.database, "late", number)
    engine = load_engine(site.home.path / bundle.bundle, bundle.digest)
    columns = {"x1": x[:, 0], "x2": x[:, 1]}
    score = engine.predict(columns).score
    at = stamp(day + timedelta(hours=12))
    line = encode_predictions(
        model="late",
        version=number,
        variant="live" if role == "live" else f"v{number}",
        role=role,
        source="http",
        generation=1,
        request_id="r",
        ids=ids,
        timestamp=at,
        received_at=at,
        latency_ms=1.0,
        key=ids,
        features=columns,
        prediction=score,
        score=score,
    )
    _append(site, "predictions", line)


def _tell(site: Site, ids: list[str], day: datetime, y: npt.NDArray[np.bool_]) -> None:
    at = stamp(day + timedelta(hours=13))
    told = [
        {"outcome_id": f"o-{key}", "id": key, "name": "label", "value": int(value), "timestamp": at}
        for key, value in zip(ids, y, strict=True)
    ]
    _append(site, "outcomes", encode_outcomes(model="late", received_at=at, outcomes=told))


def _append(site: Site, kind: str, line: bytes) -> None:
    segment = Segment(site.home.journal, kind)
    assert segment.append(line)
    segment.close()


def aliases(site: Site) -> dict[str, int]:
    """MLflow's aliases of the model, from its own database."""
    with closing(sqlite3.connect(site.home.mlflow / "mlflow.db")) as mlflow:
        return dict(
            mlflow.execute("SELECT alias, version FROM registered_model_aliases WHERE name = 'late'").fetchall()
        )


def mlflow_versions(site: Site) -> dict[int, str]:
    """MLflow's versions of the model and the runs they come from."""
    with closing(sqlite3.connect(site.home.mlflow / "mlflow.db")) as mlflow:
        return dict(mlflow.execute("SELECT version, run_id FROM model_versions WHERE name = 'late'").fetchall())

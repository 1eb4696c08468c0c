"""Sets the stage: the demo's project in its home, and the processes that serve while the year is lived."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from flyball.cli.addresses import Addresses, keep
from flyball.client import Client
from flyball.demo import data
from flyball.errors import Mistake
from flyball.project.records import Project
from flyball.registry.projects import projects
from flyball.registry.tokens import first_token
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind_free
from flyball.serving.supervisor import Child, fresh_metrics, supervise, worker_children
from flyball.serving.worker import metrics_folder
from flyball.store import Database, Home, utcnow

MODEL = "flight-delay"
#: workers look for news this often: the demo's days are short.
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is running, and where."""

    serving: str
    #: with its token.
    dashboard: str


def write_project(home: Home, settings: Mapping[str, Any]) -> Path:
    """The project's folder in the home: flyball.toml with the settings' question, pipeline.py, the flights."""
    folder = home.path / "demo" / "flights"
    folder.mkdir(parents=True, exist_ok=True)
    source = resources.files("flyball.demo") / "project"
    toml = (source / "flyball.toml").read_text()
    toml = re.sub(r"late_minutes = \d+", f"late_minutes = {settings['late_minutes']}", toml)
    toml = re.sub(r'airports = "[^"]*"', f'airports = "{settings["airports"]}"', toml)
    (folder / "flyball.toml").write_text(toml)
    (folder / "pipeline.py").write_text((source / "pipeline.py").read_text())
    return folder


def world_flights(folder: Path, project: Project) -> pd.DataFrame:
    """The flights in question with their outcome: `late` 1, 0, or null where the flight never arrived.

    The table of all flights is written where it is not there yet.
    """
    params = project.pipeline.params
    if not (folder / params["flights"]).exists():
        data.write_flights(folder / params["flights"])
    flights = pd.read_parquet(folder / params["flights"])
    flights = flights[flights["origin"].isin(params["airports"].split())].reset_index(drop=True)
    late = (flights["arr_delay"] > params["late_minutes"]).astype("float64")
    return flights.assign(late=late.where(flights["arr_delay"].notna()))


def clear(home: Home, database: Database) -> None:
    """Forget an earlier demo. Refused where the home holds somebody's own project too."""
    others = [name for name in projects(database) if name != MODEL]
    if others:
        raise Mistake(
            f"{home.path} holds {', '.join(others)} beside the demo; give the demo a home of its own: flyball demo --home DIR"
        )
    database.close()
    for path in home.path.iterdir():
        if path == home.serving:  # it holds the lock by which this home is ours
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    (home.serving / "deployments.json").unlink(missing_ok=True)


@contextmanager
def running(home: Home, database: Database, *, workers: int, say: Callable[[str], None]) -> Iterator[Stage]:
    """Serving workers and the dashboard under a supervisor, for as long as the block."""
    serving, dashboard = bind_free("127.0.0.1", 8080), bind_free("127.0.0.1", 8000)
    serving_url = "http://{}:{}".format(*address(serving))
    host, port = address(dashboard)
    children = [
        *worker_children(home, serving, workers, Options(poll_s=POLL_S)),
        Child(
            name="dashboard",
            argv=(
                *(sys.executable, "-P", "-m", "flyball.dashboard.server", "--home", str(home.path)),
                *("--host", host, "--port", str(port), "--fd", str(dashboard.fileno()), "--serve-url", serving_url),
            ),
            pass_fds=(dashboard.fileno(),),
            listening=(dashboard,),
        ),
    ]
    stop = threading.Event()
    token = first_token(home, database, utcnow())
    thread = threading.Thread(target=supervise, args=(children,), kwargs={"stop": stop, "log": say}, name="supervisor")
    with closing(serving), closing(dashboard):
        fresh_metrics(metrics_folder(home))
        keep(home, Addresses(serve=serving_url, dashboard=f"http://{host}:{port}"))
        thread.start()
        try:
            Client(serving_url).wait_until_alive()
            yield Stage(serving=serving_url, dashboard=f"http://{host}:{port}/?token={token}")
        finally:
            stop.set()
            thread.join()

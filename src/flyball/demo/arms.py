"""What the loop is measured against, on every row: static (version 1 for ever) and blind (every candidate promoted).

Blind retrains on the same dates, on all rows known that day, and asks no gate. Where the gate said yes, its model is the
version the loop registered; where it said no, the same steps are run once more here, outside the registry.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.engine.frame import columns_from_frame
from flyball.engine.session import load_engine
from flyball.errors import FlyballError
from flyball.loop.plan import REFIT, refit_calls
from flyball.loop.site import Site
from flyball.pipeline.artifact import load
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.execute import context_of
from flyball.pipeline.runs import find_run
from flyball.pipeline.task import Task
from flyball.project.steps import order
from flyball.registry.versions import versions
from flyball.store import Home, read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A model that would have answered from `since` on."""

    since: datetime
    bundle: Path


def train_refused(site: Site, run_id: str) -> float:
    """Train what the gate refused on all rows known, for the blind arm only; seconds it took. Done once a run."""
    folder = blind_folder(site.home, run_id)
    if (folder / "bundle.json").exists():
        return 0.0
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    pipeline = site.project.pipeline
    run = find_run(site.database, run_id)
    steps = order(site.workers.describe(), model=pipeline.model, holdout=pipeline.holdout)
    made = {step.name: step.artifact for step in steps_of(site.database, run_id) if step.artifact is not None}
    context = context_of(run, site.home, model=site.names())
    # All but the last, which asks whether this model agrees with one that was refused.
    for call in refit_calls(steps, pipeline, model=site.model)[:-1]:
        if call.name in made:
            continue  # trained ahead of the verdict
        task = Task(
            name=call.name,
            target=call.target,
            inputs={name: made[source] for name, source in call.inputs.items()},
            given=call.given,
            constants=call.constants,
            context=replace(context, folder=folder / call.name, refit=call.refit),
            log=folder / "log.txt",
        )
        outcome = site.workers.run(task, timeout_s=call.timeout_s)
        if outcome.artifact is None:
            raise FlyballError(f"the blind arm could not be trained: {outcome.error}")
        made[call.name] = outcome.artifact
    found = load(made[f"{REFIT}deploy.bundle"], site.home.runs / run_id)
    write_json(folder / "bundle.json", {"bundle": f"runs/{run_id}/{found['bundle']}"})
    return time.monotonic() - began


def static_arm(site: Site) -> list[Arm]:
    first = versions(site.database, site.model)[0]
    return [Arm(since=first.created_at, bundle=site.home.path / first.bundle)]


def blind_arms(site: Site) -> list[Arm]:
    """Every run's model, passed or refused, from the day it was trained on."""
    found = []
    for item in versions(site.database, site.model):
        refused = blind_folder(site.home, item.lineage.run) / "bundle.json"
        bundle = read_json(refused)["bundle"] if refused.exists() else item.bundle
        found.append(Arm(since=item.created_at, bundle=site.home.path / bundle))
    return found


def scores(arms: list[Arm], flights: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Each flight scored by the arm in force at its departure; shape (n,). `flights` in time order, none before the first."""
    found = np.full(len(flights), np.nan)
    times = flights["timestamp"]
    for arm, after in zip(arms, [*arms[1:], None], strict=True):
        rows = (times >= arm.since) & (times < after.since if after else True)
        if rows.any():
            engine = load_engine(arm.bundle, None, threads=2)
            found[rows.to_numpy()] = engine.predict(columns_from_frame(engine.contract, flights[rows])).score
    return found


def blind_folder(home: Home, run_id: str) -> Path:
    return home.runs / run_id / "blind"

"""The rows a version was trained on, as its run keeps them. Nothing is unpickled: tables are Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from flyball.engine.contract import Contract
from flyball.errors import NotFound
from flyball.loop.frames import frame_of
from flyball.loop.recipe import RECIPE
from flyball.loop.shared_rows import TABLES
from flyball.pipeline.artifact import is_intact, load
from flyball.pipeline.handed import handed, whole_digests
from flyball.pipeline.runs import steps_of
from flyball.project.load import load_project
from flyball.registry.records import Version
from flyball.store import Database, Home


def training_rows(database: Database, home: Home, version: Version, contract: Contract) -> pd.DataFrame:
    """The newest of the run's tables with every feature, other than the held-out one; of it, what `split` handed out.

    Raises NotFound, with the mend, where the run's files are gone or no table of it has the features.
    """
    run = version.lineage.run
    folder = home.runs / run
    adopted = version.lineage.adopted is not None
    pipeline = None if adopted else load_project(folder / RECIPE).pipeline
    features = [item.name for item in contract.features]
    for step in reversed(steps_of(database, run)):
        found = step.artifact
        held_out = pipeline is not None and step.name == pipeline.holdout
        if found is None or held_out or found.kind not in TABLES or not is_intact(found, folder):
            continue
        rows = frame_of(load(found, folder), f"the table of step {step.name!r}")
        if set(features) <= set(rows.columns):
            return _handed_out(rows, folder, [item.name for item in steps_of(database, run)], version.lineage.data_rows)
    again = (
        f"`flyball reproduce {version.model}@{version.number}` makes them again" if not adopted else "adopt it again"
    )
    raise NotFound(
        f"{version.model} v{version.number}: its run {run[:12]} keeps no table with all of {', '.join(features[:5])}; {again}"
    )


def _handed_out(rows: pd.DataFrame, folder: Path, steps: Sequence[str], count: int) -> pd.DataFrame:
    """Those that `split` handed out to the fit that made the version, the refit where there was one; else all rows."""
    columns = tuple(map(str, rows.columns))
    notes = [note for step in steps if (note := handed(folder, step)) is not None]
    for note in notes:
        if note.columns == columns and len(note.whole) == count:
            return rows[np.isin(whole_digests(rows), note.whole)]
    return rows

"""Two versions on the same rows: how differently do they answer? And what their recipes' files say differently."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.engine.contract import Prediction
from flyball.engine.frame import columns_from_frame
from flyball.engine.session import load_engine
from flyball.errors import FlyballError
from flyball.loop.recipe import RECIPE
from flyball.loop.steps import frame_of
from flyball.pipeline.artifact import is_intact, load
from flyball.pipeline.runs import steps_of
from flyball.project.load import load_project
from flyball.registry.records import Version
from flyball.store import Database, Home

#: the last rows that are asked: enough for two digits of any share.
ASKED_ROWS = 20_000

#: results that are tables on disk; a pickle is loaded in step processes only.
TABLES = ("pandas", "polars", "arrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What two versions answer to the same rows."""

    #: whose held-out rows were asked, and how many.
    run: str
    rows: int
    #: of the score: a probability, of several classes that of the most probable one, or the value.
    mean_difference: float
    largest_difference: float
    #: Pearson's; None where either gives all rows one score.
    correlation: float | None
    #: share of rows whose class is another (two classes: cut at 0.5); None for a regression.
    changed: float | None


def behaviour(database: Database, home: Home, a: Version, b: Version) -> Behaviour | str:
    """Both on the newest held-out rows that either's run has kept; a sentence where they cannot be asked."""
    newest = sorted((a, b), key=lambda item: (item.created_at, item.number), reverse=True)
    reasons = []
    for item in newest:
        try:
            return _on(item.lineage.run, _held_out(database, home, item), home, a, b)
        except (FlyballError, KeyError) as error:
            reasons.append(f"of v{item.number}'s run: {str(error).splitlines()[0]}")
    return "; ".join(reasons)


def code_changes(home: Home, a: Version, b: Version) -> Iterator[str]:
    """The lines of a unified diff of the two recipes' files; none where either's run keeps no recipe."""
    folders = [home.runs / item.lineage.run / RECIPE for item in (a, b)]
    if not all(folder.is_dir() for folder in folders):
        return
    names = sorted({path.relative_to(folder) for folder in folders for path in folder.rglob("*") if path.is_file()})
    for name in names:
        first, second = (_lines(folder / name) for folder in folders)
        one, other = (f"{item.model}@{item.number}/{name}" for item in (a, b))
        yield from difflib.unified_diff(first, second, one, other, lineterm="")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _held_out(database: Database, home: Home, version: Version) -> Any:
    """The held-out table of the version's run. Raises FlyballError, KeyError: there is none, or it is gone."""
    run = version.lineage.run
    if version.lineage.adopted is not None:
        step = "adopt.reference"
    else:
        named = load_project(home.runs / run / RECIPE).pipeline.holdout
        if named is None:
            raise KeyError("it held nothing out")
        step = named
    found = {item.name: item.artifact for item in steps_of(database, run)}[step]
    if found is None or found.kind not in TABLES or not is_intact(found, home.runs / run):
        raise KeyError(f"the rows of step {step!r} are gone, or no table")
    return load(found, home.runs / run)


def _on(run: str, table: Any, home: Home, a: Version, b: Version) -> Behaviour:
    rows = frame_of(table, "the held-out table").tail(ASKED_ROWS)
    answers = []
    for item in (a, b):
        engine = load_engine(home.path / item.bundle, item.digest)
        answers.append((engine.contract.task, engine.predict(columns_from_frame(engine.contract, rows))))
        close = getattr(engine, "close", None)  # of a native model, whose process ends with it
        if close is not None:
            close()
    (task, first), (_, second) = answers
    apart = np.abs(first.score - second.score)
    return Behaviour(
        run=run,
        rows=len(rows),
        mean_difference=float(apart.mean()) if len(rows) else 0.0,
        largest_difference=float(apart.max()) if len(rows) else 0.0,
        correlation=_correlation(first.score, second.score),
        changed=None if task == "regression" else float(np.mean(_classes(task, first) != _classes(task, second))),
    )


def _classes(task: str, answer: Prediction) -> npt.NDArray[Any]:
    return answer.score >= 0.5 if task == "binary" else np.asarray(answer.prediction)


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])

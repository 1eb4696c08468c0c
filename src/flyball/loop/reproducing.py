"""What is asked of a model made again, in a step's process, beside the one that was registered: are they the same?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flyball.engine.bundle import MANIFEST, MODEL
from flyball.engine.session import load_engine
from flyball.loop.dump import state_digest
from flyball.loop.frames import frame_of, scores_of
from flyball.pipeline.artifact import Artifact, load
from flyball.pipeline.step import RunContext
from flyball.store.files import read_json


def compare(
    model: Any, made: Mapping[str, Any], table: Any, run: RunContext, original: Mapping[str, Any]
) -> dict[str, Any]:
    """Both models on the same rows, and what each holds.

    `model`, `made`, `table`: made again: the model, its bundle, the rows where the original's are gone. `original`:
    `folder` and `digest` of its bundle, and, each where it is still there, the artifacts `model` and `rows` of its run
    in `root`. Answers `rows`, `differing` (rows whose scores differ in any bit), `largest` (absolute difference),
    `dump` and `graph` (whether state and compiled graph are equal; None: cannot be told).
    """
    root = Path(original["root"])
    rows = frame_of(_kept(original["rows"], root) if original["rows"] else table, "the table of rows to compare on")
    again = scores_of(load_engine(run.path / made["bundle"], made["digest"]), rows)
    first = scores_of(load_engine(Path(original["folder"]), original["digest"]), rows)
    same = ((again == first) | (np.isnan(again) & np.isnan(first))).reshape(len(rows), -1).all(axis=1)
    differences = np.abs(again - first)
    return {
        "rows": len(rows),
        "differing": int((~same).sum()),
        "largest": float(np.nanmax(differences)) if differences.size and not np.isnan(differences).all() else 0.0,
        "dump": _same_state(model, original["model"], root),
        "graph": _graph(run.path / made["bundle"], Path(original["folder"])),
    }


def _same_state(model: Any, original: Mapping[str, Any] | None, root: Path) -> bool | None:
    """None: the fitted model is gone, or was pickled by packages whose pickles these do not read."""
    if original is None:
        return None
    try:
        return state_digest(model) == state_digest(_kept(original, root))
    except Exception:  # an unpickler may raise anything; the log tells
        logging.getLogger("flyball.run").exception("the model as it was fitted then cannot be read")
        return None


def _kept(artifact: Mapping[str, Any], root: Path) -> Any:
    return load(Artifact.from_json(artifact), root)


def _graph(made: Path, original: Path) -> bool | None:
    digests = [read_json(folder / MANIFEST)["files"].get(MODEL, {}).get("sha256") for folder in (made, original)]
    return None if None in digests else digests[0] == digests[1]

"""Flyball's own steps between a fitted model and a verdict: the bundle, the scores on held-out rows, a refit's agreement.

They run inside step processes, beside the user's steps: here, and nowhere else, the user's model object is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

import flyball.engine.graph  # noqa: F401  # skl2onnx, imported in the process that steps are forked from
from flyball.engine.bundle import write_bundle
from flyball.engine.contract import Contract, Task
from flyball.engine.frame import columns_from_frame
from flyball.engine.graph_file import is_graph
from flyball.engine.infer import class_text, infer_contract, kind_of_labels, labels_in
from flyball.engine.parity import TOLERANCE
from flyball.engine.session import load_engine
from flyball.errors import Mistake
from flyball.loop.engines import PARITY_ROWS, Choice, dismiss, stand_in
from flyball.loop.evidence import SLICE
from flyball.loop.frames import days_of, frame_of, microseconds, scores_of, truth_of
from flyball.loop.replay import replay
from flyball.loop.trained import keep, seen, stamped, trained_on, unseen_by
from flyball.loop.watched import estimator, references
from flyball.pipeline.step import ModelNames, RunContext
from flyball.registry.slices import cut
from flyball.stats.sanity import alone

#: the last held-out rows, on which features are suspected of being the target.
SUSPECTED_ROWS = 20_000


def bundle(
    model: Any,
    table: Any,
    holdout: Any,
    run: RunContext,
    name: str,
    timezone: str,
    profiled: bool,
    engine: Choice = "auto",
    tolerance: float = TOLERANCE,
    trained_by: str | None = None,
    watched: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Contract, engine, parity and reference profile of a model, as a bundle folder; and what its lineage needs.

    `table` is what the model step was given, `holdout` the held-out table (None: no such step). Trained on: what `split`
    handed out in the step `trained_by`, else all of `table`; see `trained`. `profiled`: with the reference that drift is
    judged against; what a refit will replace needs none. `engine` and `tolerance`: as `[serving]` of the project says;
    `watched`: as `[monitor]` does, the windows' length `window_s` and the `slices` they are cut into.
    """
    names = run.model
    rows = frame_of(table, "the model step's input")
    held_out = frame_of(holdout, "the held-out table") if holdout is not None else rows.iloc[:0]
    learnt = trained_on(rows, held_out, run, trained_by)
    trained = learnt.rows
    if trained.empty:
        raise Mistake(
            f"run {run.id}: no training row is left beside the {len(held_out):,} held-out rows; hold out fewer"
        )
    contract = contract_of(model, trained, names, name)
    proving = held_out if len(held_out) else trained
    draft = run.folder / "native"
    standing = stand_in(model, contract, trained, proving, draft, choice=engine, tolerance=tolerance)
    folder = run.folder / "bundle"
    digest = write_bundle(
        folder,
        {
            **standing.files,
            "contract.json": orjson.dumps(contract.to_json(), option=orjson.OPT_INDENT_2),
            "parity.json": orjson.dumps(standing.parity, option=orjson.OPT_INDENT_2),
            **(references(standing.engine, trained, proving, names, timezone, watched or {}) if profiled else {}),
            **estimator(standing.engine, held_out, run, timezone),
        },
    )
    dismiss(standing, draft)
    keep(learnt, run.folder)
    return {
        "bundle": folder.relative_to(run.path).as_posix(),
        "digest": digest,
        "parity": dict(standing.parity),
        "data_digest": learnt.digest,
        "seen": None if run.refit or held_out.empty else seen(learnt, held_out),
        "data_rows": learnt.count,
        "data_start": stamped(learnt.start),
        "data_end": stamped(learnt.end),
        "estimator": "onnx" if is_graph(model) else type(model[-1] if hasattr(model, "steps") else model).__name__,
    }


def contract_of(model: Any, trained: pd.DataFrame, names: ModelNames, name: str) -> Contract:
    """What a fitted estimator or a graph is asked with, as the rows it was trained on have it."""
    labels = () if names.task == "regression" else _labels(model, trained, names)
    return infer_contract(
        trained,
        model=name,
        task=cast(Task, names.task),
        features=names.features or _features(trained, names),
        classes=[class_text(label) for label in labels],
        positive=names.positive,
        label_kind=kind_of_labels(labels),
    )


def _labels(model: Any, trained: pd.DataFrame, names: ModelNames) -> tuple[Any, ...]:
    """The classes in the model's own order, as they are there."""
    if is_graph(model):
        if names.target not in trained.columns:
            raise Mistake(
                f"the model step's input lacks column {names.target!r}, whose values are an ONNX model's classes"
            )
        return labels_in(trained[names.target])
    if not hasattr(model, "classes_"):
        raise Mistake(
            f"the model step returned a {type(model).__name__}; return a fitted classifier with scikit-learn's interface, "
            "an onnx.ModelProto, or the pathlib.Path of an .onnx file"
        )
    return tuple(model.classes_)


def score(
    candidate: Mapping[str, Any],
    holdout: Any,
    run: RunContext,
    champions: list[dict[str, Any]],
    cluster: str | None,
    slices: list[str],
    timezone: str,
) -> dict[str, Any]:
    """Candidate and champion on the same held-out rows, which neither was trained on.

    `champions`: the champion, then its gated twin; the first to which at least half of the held-out rows are new is
    asked, on these. Answers arrays: y, candidate, champion (empty: none), clusters, times (µs), who stood in (-1 none, 0,
    1), how many rows were left out because it knew them (-1: that cannot be told), and for each column of `slices` which of
    its slices every row is in; besides, how rows that are replayed through the serving path came out (`replay`), and how
    well each feature foretells the target alone.
    """
    names = run.model
    rows = frame_of(holdout, "the held-out table")
    rows = rows[rows[names.target].notna()]
    chosen, used, left_out = -1, rows, 0
    for index, item in enumerate(champions):
        fresh, told = unseen_by(rows, names, item["data_end"], item.get("trained"))
        if fresh.any() and fresh.sum() * 2 >= len(rows):
            chosen, used = index, rows[fresh]
            left_out = len(rows) - len(used) if told else -1
            break
    engine = load_engine(run.path / candidate["bundle"], candidate["digest"])
    found: dict[str, Any] = {
        "y": truth_of(used, engine.contract, names),
        "candidate": scores_of(engine, used),
        "champion": np.empty(0),
        "clusters": _clusters(used, names, cluster, timezone),
        "times": microseconds(used, names),
        "stand_in": np.asarray([chosen]),
        "left_out": np.asarray([left_out]),
        "day": days_of(used, names, timezone) if names.timestamp else np.empty(0, dtype=np.int64),
    }
    found["replayed"] = replay(engine, used)
    found["alone"] = _alone(used.tail(SUSPECTED_ROWS), found["y"][-SUSPECTED_ROWS:], engine.contract)
    for column in slices:
        if column not in used.columns:
            raise Mistake(
                f"[gate] slices names {column!r}, which the held-out table lacks; it has {', '.join(map(str, used.columns))}"
            )
        found[SLICE + column] = cut(used[column])
    if chosen >= 0:
        item = champions[chosen]
        found["champion"] = scores_of(load_engine(Path(item["folder"]), item["digest"]), used)
    return found


def agree(refitted: Mapping[str, Any], twin: Mapping[str, Any], rows: Any, run: RunContext) -> dict[str, float]:
    """How far the refitted model's scores are from those of its `twin`, which passed the gate.

    `rows`: the held-out table, else the table both were fitted on. Answers the mean absolute difference.
    """
    asked = frame_of(rows, "the table of rows to compare on").tail(PARITY_ROWS)
    both = [scores_of(load_engine(run.path / item["bundle"], item["digest"]), asked) for item in (refitted, twin)]
    return {"disagreement": float(np.mean(np.abs(both[0] - both[1])))}


def _alone(rows: pd.DataFrame, y: npt.NDArray[np.float64], contract: Contract) -> dict[str, float]:
    """Feature -> how well it foretells the target alone, of those where these rows can tell."""
    columns = columns_from_frame(contract, rows)
    kinds = {item.name: item.kind for item in contract.features}
    found = {name: alone(contract.task, y, columns[name]) for name in contract.names() if kinds[name] != "timestamp"}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _features(rows: pd.DataFrame, names: ModelNames) -> tuple[str, ...]:
    return tuple(str(column) for column in rows.columns if column not in (names.target, names.key, names.timestamp))


def _clusters(rows: pd.DataFrame, names: ModelNames, cluster: str | None, timezone: str) -> npt.NDArray[np.int64]:
    """Empty: rows count as independent."""
    if cluster == "day":
        return days_of(rows, names, timezone)
    if cluster == "key":
        return pd.factorize(rows[names.key])[0].astype(np.int64)
    return np.empty(0, dtype=np.int64)

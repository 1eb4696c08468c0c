"""Flyball's own steps between a fitted model and a verdict: the bundle, the scores on held-out rows, a refit's agreement.

They run inside step processes, beside the user's steps: here, and nowhere else, the user's model object is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

import flyball.engine.graph  # noqa: F401  # skl2onnx, imported in the process that steps are forked from
from flyball.engine.bundle import write_bundle
from flyball.engine.contract import Contract, Kind, Task
from flyball.engine.frame import columns_from_frame
from flyball.engine.graph_file import is_graph
from flyball.engine.infer import class_text, infer_contract, kind_of_labels, labels_in
from flyball.engine.parity import TOLERANCE
from flyball.engine.session import Engine, load_engine
from flyball.errors import Mistake
from flyball.loop.engines import PARITY_ROWS, Choice, dismiss, stand_in
from flyball.loop.estimating import estimator_bytes
from flyball.loop.evidence import SLICE
from flyball.loop.frames import frame_of, scores_of
from flyball.loop.importance import IMPORTANCE, MOST_ROWS, importance, importance_bytes
from flyball.loop.replay import replay
from flyball.loop.trained import keep, seen, stamped, times_of, trained_on, unseen_by
from flyball.monitor.estimators import ESTIMATE
from flyball.pipeline.step import ModelNames, RunContext
from flyball.registry.slices import cut
from flyball.stats.bins import Coded
from flyball.stats.blocks import DAY_S, Cut, block_numbers, cut_for
from flyball.stats.profile import answers_of, fit_reference, most_blocks
from flyball.stats.profile_file import reference_bytes
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
            **(_references(standing.engine, trained, proving, names, timezone, watched or {}) if profiled else {}),
            **_estimator(standing.engine, held_out, run, timezone),
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
        "y": _truth(used, engine.contract, names),
        "candidate": scores_of(engine, used),
        "champion": np.empty(0),
        "clusters": _clusters(used, names, cluster, timezone),
        "times": _microseconds(used, names),
        "stand_in": np.asarray([chosen]),
        "left_out": np.asarray([left_out]),
        "day": _days(used, names, timezone) if names.timestamp else np.empty(0, dtype=np.int64),
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


def _truth(rows: pd.DataFrame, contract: Contract, names: ModelNames) -> npt.NDArray[np.float64]:
    """Shape (n,): 1 for the positive class, the class's index, or the value."""
    values = rows[names.target]
    if contract.task == "regression":
        return values.to_numpy(dtype=np.float64)
    codes, distinct = pd.factorize(values)
    if contract.task == "binary":
        meaning = [float(class_text(value) == contract.positive) for value in distinct]
    else:
        meaning = [float(contract.classes.index(class_text(value))) for value in distinct]
    return np.asarray(meaning)[codes]


def _microseconds(rows: pd.DataFrame, names: ModelNames) -> npt.NDArray[np.int64]:
    if names.timestamp is None:
        return np.empty(0, dtype=np.int64)
    return np.asarray(times_of(rows, names).astype("int64").to_numpy(), dtype=np.int64)


def _days(rows: pd.DataFrame, names: ModelNames, timezone: str) -> npt.NDArray[np.int64]:
    """Local day number of every row: the blocks whose rows move together."""
    local = times_of(rows, names).dt.tz_convert(timezone).dt.tz_localize(None)
    return np.asarray(local.dt.floor("D").astype("int64").to_numpy() // 86_400_000_000, dtype=np.int64)


def _clusters(rows: pd.DataFrame, names: ModelNames, cluster: str | None, timezone: str) -> npt.NDArray[np.int64]:
    """Empty: rows count as independent."""
    if cluster == "day":
        return _days(rows, names, timezone)
    if cluster == "key":
        return pd.factorize(rows[names.key])[0].astype(np.int64)
    return np.empty(0, dtype=np.int64)


def _references(
    engine: Engine,
    trained: pd.DataFrame,
    proving: pd.DataFrame,
    names: ModelNames,
    timezone: str,
    watched: Mapping[str, Any],
) -> dict[str, bytes]:
    """What live rows are judged against: the profile of the training rows, and what each feature is worth."""
    known = proving[proving[names.target].notna()].tail(MOST_ROWS)
    worth = importance(engine, columns_from_frame(engine.contract, known), _truth(known, engine.contract, names))
    return {"profile.json": _profile(engine, trained, names, timezone, watched), IMPORTANCE: importance_bytes(worth)}


def _profile(
    engine: Engine, trained: pd.DataFrame, names: ModelNames, timezone: str, watched: Mapping[str, Any]
) -> bytes:
    """The reference that drift is judged against: the features and the model's own answers, cut as windows will be, of the
    newest days.

    Timestamps are left out: time goes on, and its every value is new.
    """
    blocked = cut_for(watched.get("window_s", DAY_S), timezone) if names.timestamp else None
    blocks = None if blocked is None else _blocks(trained, names, blocked)
    if blocks is not None:
        newest = np.isin(blocks, np.unique(blocks)[-most_blocks(blocked) :])
        trained, blocks = trained[newest], blocks[newest]
    columns = columns_from_frame(engine.contract, trained)
    kinds = {item.name: _KINDS[item.kind] for item in engine.contract.features if item.kind in _KINDS}
    answers = answers_of(engine.contract.task, engine.predict(columns).score)
    slices = [name for name in watched.get("slices", ()) if name in kinds]
    # Each level of a category is looked at once, not each row.
    coded = {name: _coded(trained[name]) for name, kind in kinds.items() if kind == "category"}
    found = fit_reference(
        {**{name: coded.get(name, columns[name]) for name in kinds}, **answers},
        {**kinds, **dict.fromkeys(answers, "number")},
        blocks,
        cut=blocked,
        slices=slices,
    )
    return reference_bytes(found)


def _coded(values: pd.Series[Any]) -> Coded:
    codes, levels = pd.factorize(values)
    return Coded(codes=codes, levels=[str(level) for level in levels])


def _blocks(rows: pd.DataFrame, names: ModelNames, cut: Cut) -> npt.NDArray[np.int64]:
    times = times_of(rows, names)
    local = times.dt.tz_convert(cut.timezone).dt.tz_localize(None)
    utc, local = (
        np.asarray(one.astype("datetime64[us]").astype("int64").to_numpy(), dtype=np.int64)
        for one in (times.dt.tz_convert("UTC").dt.tz_localize(None), local)
    )
    return block_numbers(utc, local, cut)


def _estimator(engine: Engine, held_out: pd.DataFrame, run: RunContext, timezone: str) -> dict[str, bytes]:
    """What performance is estimated by without labels. A refit has seen the held-out rows: it goes by its gated twin's."""
    names = run.model
    rows = held_out[held_out[names.target].notna()] if len(held_out) else held_out
    if run.refit or rows.empty:
        return {}
    columns = columns_from_frame(engine.contract, rows)
    kinds = {item.name: _KINDS[item.kind] for item in engine.contract.features if item.kind in _KINDS}
    found = estimator_bytes(
        engine.contract.task,
        _truth(rows, engine.contract, names),
        engine.predict(columns),
        {name: columns[name] for name in kinds},
        frozenset(name for name, kind in kinds.items() if kind == "category"),
        _days(rows, names, timezone) if names.timestamp else None,
    )
    return {} if found is None else {ESTIMATE: found}


#: how a contract's kinds are profiled.
_KINDS: Mapping[Kind, Literal["number", "category"]] = {
    "number": "number",
    "integer": "number",
    "boolean": "number",
    "category": "category",
}

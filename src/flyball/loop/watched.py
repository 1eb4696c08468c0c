"""What a bundle keeps for the monitor: the profile that live rows are judged against, what each feature is worth, and what
performance is estimated by without labels. Made in the step process that makes the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.engine.contract import Kind
from flyball.engine.frame import columns_from_frame
from flyball.engine.session import Engine
from flyball.loop.estimating import estimator_bytes
from flyball.loop.frames import days_of, truth_of
from flyball.loop.importance import IMPORTANCE, MOST_ROWS, importance, importance_bytes
from flyball.loop.trained import times_of
from flyball.monitor.estimators import ESTIMATE
from flyball.pipeline.step import ModelNames, RunContext
from flyball.stats.bins import Coded
from flyball.stats.blocks import DAY_S, Cut, block_numbers, cut_for
from flyball.stats.fitting import answers_of, fit_reference, most_blocks
from flyball.stats.profile_file import reference_bytes

#: how a contract's kinds are profiled.
_KINDS: Mapping[Kind, Literal["number", "category"]] = {
    "number": "number",
    "integer": "number",
    "boolean": "number",
    "category": "category",
}


def references(
    engine: Engine,
    trained: pd.DataFrame,
    proving: pd.DataFrame,
    names: ModelNames,
    timezone: str,
    watched: Mapping[str, Any],
) -> dict[str, bytes]:
    """What live rows are judged against: the profile of the training rows, and what each feature is worth."""
    known = proving[proving[names.target].notna()].tail(MOST_ROWS)
    worth = importance(engine, columns_from_frame(engine.contract, known), truth_of(known, engine.contract, names))
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


def estimator(engine: Engine, held_out: pd.DataFrame, run: RunContext, timezone: str) -> dict[str, bytes]:
    """What performance is estimated by without labels. A refit has seen the held-out rows: it goes by its gated twin's."""
    names = run.model
    rows = held_out[held_out[names.target].notna()] if len(held_out) else held_out
    if run.refit or rows.empty:
        return {}
    columns = columns_from_frame(engine.contract, rows)
    kinds = {item.name: _KINDS[item.kind] for item in engine.contract.features if item.kind in _KINDS}
    found = estimator_bytes(
        engine.contract.task,
        truth_of(rows, engine.contract, names),
        engine.predict(columns),
        {name: columns[name] for name in kinds},
        frozenset(name for name, kind in kinds.items() if kind == "category"),
        days_of(rows, names, timezone) if names.timestamp else None,
    )
    return {} if found is None else {ESTIMATE: found}

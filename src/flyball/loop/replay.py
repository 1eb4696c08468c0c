"""Held-out rows sent through the serving path: is what a client will be answered what the gate has judged?

The table's values are written as JSON and asked of the engine as requests, over all of a worker's way but the network
(`serving.rehearsal`), in the batches that the engine answers straight from the table. Runs inside step processes, as
`loop.steps` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from flyball.engine.contract import Contract, Prediction, Table
from flyball.engine.frame import columns_from_frame
from flyball.engine.parity import TOLERANCE
from flyball.engine.session import Engine, as_table
from flyball.serving.problem import Problem
from flyball.serving.protocols import native
from flyball.serving.rehearsal import Rehearsal, Reply, rehearsed

#: held-out rows that are replayed, the last ones; and rows of one request.
REPLAYED = 3_000
BATCH = 500
#: integers are exact in float32, in which requests hold numbers, up to here.
EXACT = 2**24


def replay(engine: Engine, rows: pd.DataFrame) -> dict[str, Any]:
    """What became of the last rows: `rows`, `same`, `otherwise`, `refused`; and by column what differed, was refused, or
    is coarser in float32, each as how many rows and the place of the first one in the table. Never values.
    """
    asked = rows.tail(REPLAYED)
    offset = len(rows) - len(asked)
    found: dict[str, Any] = {"rows": len(asked), "same": 0, "otherwise": 0, "refused": 0}
    differing: dict[str, list[int]] = {}
    refused: dict[str, list[int]] = {}
    with rehearsed(engine) as rehearsal:
        for start, part, body in _requests(engine.contract, asked):
            places = offset + start + np.arange(len(part))
            at_fault, text, reply = _asked(rehearsal, engine.contract, body)
            for row, what in at_fault.items():
                refused.setdefault(what, []).append(int(places[row]))
            if reply is None:
                continue
            kept = np.array([row not in at_fault for row in range(len(part))])
            direct = as_table(engine.contract.layout, columns_from_frame(engine.contract, part[kept]))
            decoded = as_table(engine.contract.layout, native.decode(text, engine.contract, 0.0).columns)
            for name, rows_at in _differing(direct, decoded).items():
                differing.setdefault(name, []).extend(places[kept][rows_at].tolist())
            same = _same(engine.predict(direct), reply.body)
            found["same"] += int(same.sum())
            found["otherwise"] += int((~same).sum())
    found["refused"] = sum(map(len, refused.values()))
    return {
        **found,
        "differing": _told(differing),
        "refusing": _told(refused),
        "coarse": _coarse(asked, engine, offset),
    }


def _asked(
    rehearsal: Rehearsal, contract: Contract, body: Mapping[str, Any]
) -> tuple[dict[int, str], bytes, Reply | None]:
    """The rows that are refused, each with the first column at fault; and the request for the others with its answer,
    None where there are none.
    """
    text, at_fault = orjson.dumps(body), {}
    reply: Reply | None = rehearsal.ask(text)
    columns, data = body["inputs"]["columns"], body["inputs"]["data"]
    if reply is not None and reply.status == 422:
        at_fault = _at_fault(contract, columns, data)
        taken = [values for row, values in enumerate(data) if row not in at_fault]
        text = orjson.dumps({"inputs": {"columns": columns, "data": taken}})
        reply = rehearsal.ask(text) if taken else None
    if reply is not None and reply.status != 200:
        what = f"status {reply.status}"
        return {row: at_fault.get(row, what) for row in range(len(data))}, text, None
    return at_fault, text, reply


def _requests(contract: Contract, rows: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame, dict[str, Any]]]:
    """Where each batch starts, its rows, and the body that asks for them."""
    names = contract.names()
    for start in range(0, len(rows), BATCH):
        part = rows.iloc[start : start + BATCH]
        data = list(zip(*(_json_values(part[name]) for name in names), strict=True))
        yield start, part, {"inputs": {"columns": names, "data": data}}


def _json_values(column: pd.Series[Any]) -> list[Any]:
    """A column's values as a client writes them; missing ones as null."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return [None if value is pd.NaT else value.isoformat() for value in column]
    if column.dtype.kind in "fiub" and isinstance(column.dtype, np.dtype):
        return list(column.tolist())
    values = column.astype(object)
    plain = values.where(values.notna(), None).tolist()
    return [item.isoformat() if hasattr(item, "isoformat") else _plain(item) for item in plain]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _at_fault(contract: Contract, columns: list[str], data: list[Any]) -> dict[int, str]:
    """Of each row that the contract does not allow the first column at fault."""
    found: dict[int, str] = {}
    for row, values in enumerate(data):
        try:
            native.decode(orjson.dumps({"inputs": {"columns": columns, "data": [values]}}), contract, 0.0)
        except Problem as problem:
            found[row] = str(problem.errors[0].loc[-1]) if problem.errors else "the row"
    return found


def _differing(direct: Table, served: Table) -> dict[str, npt.NDArray[np.intp]]:
    """Column -> rows whose value is another one after the way through JSON."""
    numbers = (direct.numbers != served.numbers) & ~(np.isnan(direct.numbers) & np.isnan(served.numbers))
    categories = direct.categories != served.categories
    by_name = zip((*direct.layout.numbers, *direct.layout.categories), (*numbers.T, *categories.T), strict=True)
    return {name: np.flatnonzero(apart) for name, apart in by_name if apart.any()}


def _same(direct: Prediction, answer: bytes) -> npt.NDArray[np.bool_]:
    """Which rows of an answer say what the engine said of the table itself."""
    said = orjson.loads(answer)
    if "probabilities" in said and direct.probabilities is not None:
        apart = np.abs(direct.probabilities - np.asarray(said["probabilities"], dtype=np.float64))
        return np.asarray((apart <= TOLERANCE).all(axis=1))
    apart = np.abs(direct.score - np.asarray(said["predictions"], dtype=np.float64))
    return np.asarray(apart <= TOLERANCE * np.maximum(1, np.abs(direct.score)))


def _coarse(rows: pd.DataFrame, engine: Engine, offset: int) -> dict[str, list[int]]:
    """Columns with integers that float32 does not hold: neighbours become one value."""
    found = {}
    for name in engine.contract.layout.numbers:
        if rows[name].dtype.kind in "iu":
            values = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
            lost = np.flatnonzero((np.abs(values) > EXACT) & (values.astype(np.float32) != values))
            if len(lost):
                found[name] = [len(lost), offset + int(lost[0])]
    return found


def _told(places: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {name: [len(at), min(at)] for name, at in sorted(places.items(), key=lambda item: -len(item[1]))}

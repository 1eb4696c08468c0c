"""What a table of the user's says: its rows as pandas, their truth, their days, and an engine's scores of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.engine.contract import Contract
from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import class_text
from flyball.engine.session import Engine
from flyball.errors import Mistake
from flyball.loop.trained import times_of
from flyball.pipeline.step import ModelNames


def frame_of(value: Any, what: str) -> pd.DataFrame:
    """The table as pandas; of several results the first that is a table."""
    for item in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(item, pd.DataFrame):
            return item
        if hasattr(item, "to_pandas"):
            frame: pd.DataFrame = item.to_pandas()
            return frame
    raise Mistake(f"{what} is {type(value).__name__}; Flyball needs a table there (pandas, polars or pyarrow)")


def truth_of(rows: pd.DataFrame, contract: Contract, names: ModelNames) -> npt.NDArray[np.float64]:
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


def scores_of(engine: Engine, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Shape (n,) or, multiclass, (n, classes)."""
    answer = engine.predict(columns_from_frame(engine.contract, rows))
    if engine.contract.task == "multiclass":
        assert answer.probabilities is not None
        return answer.probabilities
    return answer.score


def microseconds(rows: pd.DataFrame, names: ModelNames) -> npt.NDArray[np.int64]:
    if names.timestamp is None:
        return np.empty(0, dtype=np.int64)
    return np.asarray(times_of(rows, names).astype("int64").to_numpy(), dtype=np.int64)


def days_of(rows: pd.DataFrame, names: ModelNames, timezone: str) -> npt.NDArray[np.int64]:
    """Local day number of every row: the blocks whose rows move together."""
    local = times_of(rows, names).dt.tz_convert(timezone).dt.tz_localize(None)
    return np.asarray(local.dt.floor("D").astype("int64").to_numpy() // 86_400_000_000, dtype=np.int64)

"""A step's table as pandas, and what an engine answers to it. Apart from the steps, which load all that compiles a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from flyball.engine.frame import columns_from_frame
from flyball.errors import Mistake

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from flyball.engine.session import Engine


def frame_of(value: Any, what: str) -> pd.DataFrame:
    """The table as pandas; of several results the first that is a table."""
    for item in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(item, pd.DataFrame):
            return item
        if hasattr(item, "to_pandas"):
            frame: pd.DataFrame = item.to_pandas()
            return frame
    raise Mistake(f"{what} is {type(value).__name__}; Flyball needs a table there (pandas, polars or pyarrow)")


def scores_of(engine: Engine, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Shape (n,) or, multiclass, (n, classes)."""
    answer = engine.predict(columns_from_frame(engine.contract, rows))
    if engine.contract.task == "multiclass":
        assert answer.probabilities is not None
        return answer.probabilities
    return answer.score

"""What a pyfunc's answers mean: found out once, on rows of the reference table, and kept with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flyball.engine.infer import class_text, labels_in
from flyball.engine.pyfunc import Form, Pyfunc, columns_of
from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

#: rows that are asked to see how the model answers.
_ASKED = 200


def pyfunc_of(
    archive: bytes, table: pd.DataFrame, *, features: tuple[str, ...], task: str, target: str, positive: str | None
) -> Pyfunc:
    """The model with the meaning of its answers. Raises Mistake for answers that have none."""
    asked = Pyfunc(archive, form="values")
    found = asked.ask(table[list(features)].head(_ASKED))
    rows = min(len(table), _ASKED)
    if task == "regression":
        values = np.asarray(found)
        if values.size != rows or values.dtype.kind not in "iufO":
            raise Mistake(f"a regression answers one number a row; the model gave {_shape(found)} for {rows} rows")
        return asked
    labels = labels_in(table[target])
    form = form_of(found, labels, rows=rows)
    place = next((index for index, label in enumerate(labels) if class_text(label) == (positive or "1")), 1)
    return Pyfunc(archive, form=form, classes=labels, positive=place)


def form_of(found: Any, labels: tuple[Any, ...], *, rows: int) -> Form:
    """How a classifier of these classes answered `rows` rows."""
    if hasattr(found, "columns") and len(found.columns) == len(labels) and columns_of(found, labels):
        return "named"
    values = np.asarray(found)
    if values.size == rows and values.dtype.kind != "f" and set(values.reshape(-1).tolist()) <= set(labels):
        return "labels"
    if values.dtype.kind in "fO" and values.shape == (rows, len(labels)):
        return "matrix"
    if values.size == rows and values.dtype.kind == "f":
        if len(labels) == 2 and np.nanmin(values) >= 0 and np.nanmax(values) <= 1:
            return "probability"
        if set(values.reshape(-1).tolist()) <= set(labels):
            return "labels"
    raise Mistake(
        f"the model gave {_shape(found)} for {rows} rows; a classifier of {len(labels)} classes answers the class, a "
        "probability for each class, or, of two classes, the probability of the positive one"
    )


def _shape(found: Any) -> str:
    values = np.asarray(found)
    return f"{values.dtype} of shape {values.shape}"

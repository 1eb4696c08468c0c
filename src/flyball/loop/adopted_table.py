"""The reference table of an adoption: read from a file, and held against what the model says of its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api import types

from flyball.errors import Mistake

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: a file name's ending -> how it is read.
_READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".jsonl": lambda path: pd.read_json(path, lines=True, convert_dates=False, dtype=False),
}

#: a signature's type -> (how people call it, whether a column is so).
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "boolean": ("booleans", types.is_bool_dtype),
    "integer": ("numbers", types.is_numeric_dtype),
    "long": ("numbers", types.is_numeric_dtype),
    "float": ("numbers", types.is_numeric_dtype),
    "double": ("numbers", types.is_numeric_dtype),
    "string": ("text", lambda column: _is_text(column)),
    "datetime": ("times", types.is_datetime64_any_dtype),
}


def read_reference(path: Path, *, times: Sequence[str | None] = ()) -> pd.DataFrame:
    """The rows of a .parquet, .csv or .jsonl file; the columns `times` as times, whatever holds them. Raises Mistake."""
    if path.suffix not in _READERS:
        raise Mistake(f"{path} ends in {path.suffix or 'nothing'}; a reference table is {', '.join(_READERS)}")
    if not path.is_file():
        raise Mistake(f"there is no {path}; --reference names a table of features with what came true")
    try:
        table = _READERS[path.suffix](path).reset_index(drop=True)
    except (ValueError, OSError) as error:  # the roots of what pandas and pyarrow raise for files they cannot read
        raise Mistake(f"{path} cannot be read as {path.suffix}: {error}") from error
    if not len(table):
        raise Mistake(f"{path} has no rows; a reference needs some, with features and what came true")
    for name in times:
        if name is not None and name in table and not types.is_datetime64_any_dtype(table[name]):
            try:
                table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
            except (ValueError, TypeError) as error:
                raise Mistake(f"{path}: column {name!r} holds no times that can be read (ISO 8601)") from error
    return table


def signature_columns(signature: ModelSignature | None) -> dict[str, tuple[str, bool]]:
    """Name -> (type, whether it must be there) of a signature by columns; empty without one."""
    if signature is None or signature.inputs is None or signature.inputs.is_tensor_spec():
        return {}
    return {
        str(item.name): (item.type.name if hasattr(item.type, "name") else "other", bool(item.required))
        for item in signature.inputs.inputs
        if item.name is not None
    }


def fitted_to(table: pd.DataFrame, signature: ModelSignature | None, own: Sequence[str]) -> pd.DataFrame:
    """The table with its numbers in the signature's types, where nothing is lost. Raises Mistake naming what differs.

    `own`: target, key and timestamp, which a signature may leave out.
    """
    columns = signature_columns(signature)
    missing = [name for name, (_, required) in columns.items() if required and name not in table and name not in own]
    if missing:
        raise Mistake(
            f"the reference table lacks {_listed(missing)}, which the model's MLflow signature asks for; "
            f"it has {', '.join(map(str, table.columns))}"
        )
    wrong = []
    changed: dict[str, Any] = {}
    for name, (kind, _) in columns.items():
        if name not in table or kind not in _KINDS or name in own:
            continue
        words, is_so = _KINDS[kind]
        column = table[name]
        if column.notna().any() and not is_so(column):
            wrong.append(f"{name!r} holds {column.dtype}, the signature says {words} ({kind})")
        elif kind in _DTYPES and str(column.dtype) != _DTYPES[kind] and column.notna().all():
            changed[name] = _without_loss(column, _DTYPES[kind])
    if wrong:
        raise Mistake(f"the reference table is not what the model takes: {'; '.join(wrong)}")
    return table.assign(**changed)


_DTYPES = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


def _without_loss(column: Any, dtype: str) -> Any:
    found = column.astype(dtype)
    return found if dtype == "float32" or (found == column).all() else column


def _is_text(column: Any) -> bool:
    return bool(types.is_string_dtype(column) or column.dtype == object or column.dtype == "category")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)

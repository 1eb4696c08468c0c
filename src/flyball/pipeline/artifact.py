"""A step's result as files: tables to Parquet, arrays to .npy, plain values to JSON, ONNX graphs as they are, and all
else, fitted models too, to pickle.

Pickles are only ever loaded inside step processes. A result is written to a draft folder and renamed when complete.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from flyball.engine.graph_file import graph_bytes, graph_of, is_graph
from flyball.errors import Corrupt, Mistake
from flyball.store.files import sha256_file

#: the file that says how the others in a result's folder fit together.
LAYOUT = "layout.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A result on disk."""

    #: pandas | polars | arrow | numpy | json | onnx | pickle | tuple | dict
    kind: str
    #: its folder, relative to the run's.
    path: str
    #: over the names and SHA-256 of its files, 64 hex digits.
    sha256: str
    #: of a table or an array; else None.
    rows: int | None
    #: of all its files together.
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Artifact:
        return Artifact(**value)


def save(value: Any, folder: Path, *, root: Path) -> Artifact:
    """Write `value` to `folder`, which must not exist yet and lies under the run's folder `root`.

    The path of an .onnx file is kept as the file: what the step writes there later changes nothing. Raises Mistake for
    what cannot be kept: an object that cannot be pickled, a pandas table whose index says something or that Parquet
    cannot hold, a graph that is not whole.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        layout = _write(value, draft, "value")
        (draft / LAYOUT).write_bytes(orjson.dumps(layout))
        sha256, size = digest(draft)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Artifact(
        kind=layout["kind"],
        path=folder.relative_to(root).as_posix(),
        sha256=sha256,
        rows=layout.get("rows"),
        bytes=size,
    )


def load(artifact: Artifact, root: Path) -> Any:
    """The value again. Call it in a step's process only: it may unpickle. Raises Corrupt if files are missing."""
    folder = root / artifact.path
    try:
        return _read(orjson.loads((folder / LAYOUT).read_bytes()), folder)
    except FileNotFoundError as error:
        raise Corrupt(f"{folder} is incomplete: {error}; run the step again") from error


def is_intact(artifact: Artifact, root: Path) -> bool:
    """Whether the files are there, and the bytes those that were written."""
    folder = root / artifact.path
    return folder.is_dir() and digest(folder) == (artifact.sha256, artifact.bytes)


def digest(folder: Path) -> tuple[str, int]:
    """(SHA-256 over names and digests of the folder's files, their bytes together)."""
    whole, size = hashlib.sha256(), 0
    for path in sorted(folder.iterdir()):
        whole.update(f"{path.name} {sha256_file(path)}\n".encode())
        size += path.stat().st_size
    return whole.hexdigest(), size


def _write(value: Any, folder: Path, name: str) -> dict[str, Any]:
    """Write one value under file names that begin with `name`; its node of the layout."""
    if _is_json(value):
        (folder / f"{name}.json").write_bytes(orjson.dumps(value))
        return {"kind": "json", "file": f"{name}.json"}
    if type(value) is tuple:
        return {"kind": "tuple", "items": [_write(item, folder, f"{name}.{n}") for n, item in enumerate(value)]}
    if type(value) is dict and all(type(key) is str for key in value):
        items = [_write(item, folder, f"{name}.{n}") for n, item in enumerate(value.values())]
        return {"kind": "dict", "keys": list(value), "items": items}
    table = _table_kind(value)
    if table is not None:
        said = _write_table(value, table, folder / f"{name}.parquet")
        return {"kind": table, "file": f"{name}.parquet", "rows": len(value), **said}
    if _is_array(value):
        sys.modules["numpy"].save(folder / f"{name}.npy", value, allow_pickle=False)
        rows = len(value) if value.ndim else None
        return {"kind": "numpy", "file": f"{name}.npy", "rows": rows, "scalar": type(value).__name__ != "ndarray"}
    if is_graph(value):
        (folder / f"{name}.onnx").write_bytes(graph_bytes(value))
        return {"kind": "onnx", "file": f"{name}.onnx", "path": isinstance(value, Path)}
    _write_pickle(value, folder / f"{name}.pickle")
    return {"kind": "pickle", "file": f"{name}.pickle"}


def _read(layout: Mapping[str, Any], folder: Path) -> Any:
    kind = layout["kind"]
    if kind in ("tuple", "dict"):
        items = [_read(item, folder) for item in layout["items"]]
        return tuple(items) if kind == "tuple" else dict(zip(layout["keys"], items, strict=True))
    path = folder / layout["file"]
    if kind == "json":
        return orjson.loads(path.read_bytes())
    if kind == "pickle":
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301  # written by a step of the same run, read inside a step's process
    if kind == "onnx":
        return path if layout["path"] else graph_of(path.read_bytes())
    if kind == "numpy":
        import numpy as np  # a step's process only

        array = np.load(path, allow_pickle=False)
        return array[()] if layout["scalar"] else array
    return _read_table(layout, path)


def _is_json(value: Any) -> bool:
    """Whether JSON gives back exactly this value: no tuples, no subclasses, no NaN, integers of 64 bits."""
    if value is None or type(value) in (str, bool):
        return True
    if type(value) is int:
        return -(2**63) <= value < 2**64
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is list:
        return all(_is_json(item) for item in value)
    return type(value) is dict and all(type(key) is str and _is_json(item) for key, item in value.items())


def _table_kind(value: Any) -> str | None:
    """Which library's table this is. A library not yet imported cannot have made it; subclasses are pickled."""
    for module, name, kind in (
        ("pandas", "DataFrame", "pandas"),
        ("polars", "DataFrame", "polars"),
        ("pyarrow", "Table", "arrow"),
    ):
        library = sys.modules.get(module)
        if library is not None and type(value) is getattr(library, name):
            return kind
    return None


def _is_array(value: Any) -> bool:
    """Whether .npy can hold it: an array, or one of numpy's scalars, which metrics often are."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
        return False
    return value.dtype.kind in "biufcSUmM"


def _write_table(table: Any, kind: str, path: Path) -> dict[str, Any]:
    """Write Parquet; what it cannot say, for the layout."""
    if kind == "polars":
        table.write_parquet(path)
        return {}
    import pyarrow as pa  # a step's process only
    import pyarrow.parquet as pq

    said = {}
    if kind == "pandas":
        _check_pandas(table)
        said = {"categories": _categories(table)}
        try:
            table = pa.Table.from_pandas(table, preserve_index=False)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise Mistake(f"this pandas table cannot be kept as Parquet: {error}; give each column one type") from error
    pq.write_table(table, path)
    return said


def _categories(table: Any) -> dict[str, Any]:
    """Column -> its categories, where they are not texts: Parquet gives those back as plain numbers."""
    found = {}
    for name, dtype in table.dtypes.items():
        if dtype.name != "category" or (dtype.categories.inferred_type == "string" and len(dtype.categories)):
            continue
        values = dtype.categories.tolist()
        if not _is_json(values):
            raise Mistake(f"this pandas table's categories in {name!r} are {dtype.categories.dtype}; make them texts")
        found[name] = {"values": values, "dtype": str(dtype.categories.dtype), "ordered": dtype.ordered}
    return found


def _check_pandas(table: Any) -> None:
    """Row numbers may go, they say nothing; any other index would be lost without a word."""
    index = table.index
    if index.nlevels > 1 or index.name is not None or index.dtype.kind not in "iu":
        names = ", ".join(str(name) for name in index.names)
        raise Mistake(
            f"this pandas table has an index that would be lost (names: {names}; {index.dtype}); "
            "return table.reset_index(), or table.reset_index(drop=True) if it says nothing"
        )
    odd = [name for name in table.columns if type(name) is not str]
    if odd:
        raise Mistake(f"this pandas table has column names that are not texts: {odd[:5]}; rename them")
    if not table.columns.is_unique:
        raise Mistake(
            f"this pandas table has columns of one name: {list(table.columns[table.columns.duplicated()])[:5]}"
        )


def _read_table(layout: Mapping[str, Any], path: Path) -> Any:
    if layout["kind"] == "polars":
        return import_module("polars").read_parquet(path)
    import pyarrow.parquet as pq  # a step's process only

    table = pq.read_table(path)
    if layout["kind"] == "arrow":
        return table
    frame = table.to_pandas()
    for name, said in layout["categories"].items():
        pandas = import_module("pandas")
        categories = pandas.Index(said["values"], dtype=said["dtype"])
        frame[name] = frame[name].astype(pandas.CategoricalDtype(categories, ordered=said["ordered"]))
    return frame


def _write_pickle(value: Any, path: Path) -> None:
    try:
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=5)
    except Exception as error:  # any __reduce__ may raise anything
        raise Mistake(
            f"a result of type {type(value).__module__}.{type(value).__qualname__} cannot be pickled: {error}; "
            "return a table, an array, plain values, or an object whose class is defined at the top of a module"
        ) from error

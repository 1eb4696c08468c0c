"""A fitted model as files of a bundle, for the versions no graph can stand for: the model itself, pickled, and how to ask it.

Runs in step processes only. What the project's own modules define is pickled with the model, so that a bundle stays
what it was when the project's files change.
"""

from __future__ import annotations

import pickle
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle
import orjson

from flyball.engine.bundle import NATIVE, PICKLE
from flyball.engine.check import columns_from_records
from flyball.engine.contract import Contract
from flyball.engine.fitted import answers
from flyball.engine.native import FORMAT
from flyball.engine.parts import parts_of
from flyball.engine.rebuild import describe, rebuilt
from flyball.engine.session import as_table
from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd


def native_files(fitted: Any, contract: Contract, frame: pd.DataFrame, *, why: str, project: Path) -> dict[str, bytes]:
    """`native.json` and `model.pickle`. `frame`: the training rows, whose dtypes the model will be asked in.

    `why`: what keeps the model from being compiled. `project`: where the user's own modules lie. Raises `Mistake` for
    a model that cannot be pickled, or that answers in another form than its contract says.
    """
    columns = describe(contract, frame)
    example = as_table(contract.layout, columns_from_records(contract, [dict(contract.example)]))
    try:
        answer = answers(fitted, contract, rebuilt(contract, columns, example))
    except Exception as error:  # whatever a user's model raises
        raise Mistake(f"{type(fitted).__name__} does not answer the contract's example row: {error}") from error
    about = {
        "format": FORMAT,
        "why": why,
        "loader": "pickle",
        "python": sys.executable,
        "python_version": platform.python_version(),
        "packages": _packages(fitted),
        "columns": [column.to_json() for column in columns],
        "answer": answer.ravel().tolist(),
    }
    return {NATIVE: orjson.dumps(about, option=orjson.OPT_INDENT_2), PICKLE: _pickled(fitted, project)}


def _pickled(fitted: Any, project: Path) -> bytes:
    with ExitStack() as stack:
        for module in list(_own_modules(project)):
            stack.enter_context(_by_value(module))
        try:
            content: bytes = cloudpickle.dumps(fitted, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # any __reduce__ may raise anything
            raise Mistake(f"{type(fitted).__name__} cannot be pickled: {error}; return a model that can be") from error
    return content


def _own_modules(project: Path) -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__":
            path = Path(file)
            if path.is_relative_to(project) and "site-packages" not in path.parts:
                yield module


@contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _packages(fitted: Any) -> dict[str, str]:
    """The packages the model is made of, as far as they say their version."""
    names = {"numpy", "pandas", *(type(part).__module__.partition(".")[0] for part in (fitted, *parts_of(fitted)))}
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(names)}
    return {name: version for name, version in found.items() if isinstance(version, str)}

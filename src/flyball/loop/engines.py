"""What will answer for a model: its ONNX graph where that is proven equal, else the fitted model itself, natively.

Runs inside step processes, as `loop.steps` does.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from flyball.engine.bundle import CONTRACT, MODEL, write_bundle
from flyball.engine.compile import CannotCompile, compile_model
from flyball.engine.given import take
from flyball.engine.graph_file import graph_bytes, is_graph
from flyball.engine.native_files import native_files
from flyball.engine.parity import TOLERANCE, Parity, compare, prove
from flyball.engine.rebuild import rounded
from flyball.engine.session import Engine, load_engine, open_engine
from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

    from flyball.engine.contract import Contract

#: `[serving] engine`.
Choice = Literal["auto", "onnx", "native"]

_ASKED = 'the project asks for it: [serving] engine = "native"'

#: what the proof of a graph says; all others are compared with the fitted model.
COMPARED_WITH = "the graph as it came, run by ONNX Runtime"

#: rows on which an engine is proven equal to the fitted model.
PARITY_ROWS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An engine that was proven to answer as a model does."""

    engine: Engine
    #: what a bundle needs to load it again.
    files: Mapping[str, bytes]
    #: the proof, which engine it is of, and, of a native one, what kept the model from being compiled.
    parity: Mapping[str, Any]


def stand_in(
    model: Any,
    contract: Contract,
    trained: pd.DataFrame,
    proving: pd.DataFrame,
    folder: Path,
    *,
    choice: Choice = "auto",
    tolerance: float = TOLERANCE,
) -> Standing:
    """The engine for `model`, an estimator or a graph, proven on the last rows of `proving`. `trained`: its training's.

    `folder`, which must not exist, is where a native model lies until its bundle is written; see `dismiss`. `choice`
    and `tolerance`: `[serving] engine` and `parity_tolerance`. Raises `Mistake` for a model that cannot be served so.
    """
    rows = proving.tail(PARITY_ROWS)
    if is_graph(model):
        return _as_it_came(model, contract, trained.tail(PARITY_ROWS), rows, choice, tolerance)
    if choice == "native":
        return _natively(model, contract, trained, rows, folder, tolerance, _ASKED)
    try:
        graph = compile_model(model, contract)
    except CannotCompile as error:
        if choice == "onnx":
            raise
        return _natively(model, contract, trained, rows, folder, tolerance, f"{error.cause}. {error.mend}")
    engine = open_engine(contract, graph)
    parity = prove(model, engine, rows, tolerance=tolerance)
    if parity.passed:
        return Standing(engine=engine, files={MODEL: graph}, parity={**asdict(parity), "engine": "onnx"})
    if choice == "onnx":
        raise Mistake(
            f"the compiled model is not the fitted one: {_differs(parity)}; train on float32 columns, drop scalers before "
            'trees, use another estimator, allow more by [serving] parity_tolerance, or serve it natively: engine = "auto"'
        )
    why = f"as an ONNX graph it answers otherwise: {_differs(parity)}"
    return _natively(model, contract, trained, rows, folder, tolerance, why)


def dismiss(standing: Standing, folder: Path) -> None:
    """Let go of the engine and of what `stand_in` has left in `folder`; what is in `standing` stays."""
    close = getattr(standing.engine, "close", None)
    if close is not None:
        close()
    shutil.rmtree(folder, ignore_errors=True)


def _as_it_came(
    model: Any, contract: Contract, trained: pd.DataFrame, rows: pd.DataFrame, choice: Choice, tolerance: float
) -> Standing:
    if choice == "native":
        raise Mistake(
            'the model is an ONNX graph, and [serving] engine = "native" asks for a fitted model; make it "auto" or "onnx"'
        )
    given = take(graph_bytes(model), contract, trained)
    engine = open_engine(contract, given.graph)
    parity = compare(given.answers, engine, rows, tolerance=tolerance)
    if not parity.passed:
        raise Mistake(
            f"the ONNX graph that is served is not the one that came: {_differs(parity)}; requests hold numbers in float32: "
            "export the graph with float inputs, train on float32 columns, or allow more by [serving] parity_tolerance"
        )
    proof = {**asdict(parity), "engine": "onnx", "compared_with": COMPARED_WITH}
    return Standing(engine=engine, files={MODEL: given.graph}, parity=proof)


def _natively(
    model: Any,
    contract: Contract,
    trained: pd.DataFrame,
    rows: pd.DataFrame,
    folder: Path,
    tolerance: float,
    why: str,
) -> Standing:
    files = native_files(model, contract, trained, why=why, project=Path.cwd())
    digest = write_bundle(folder, {**files, CONTRACT: orjson.dumps(contract.to_json())})
    engine = load_engine(folder, digest)
    # Requests hold numbers in float32, so the question is what the model says to those.
    parity = prove(model, engine, rounded(rows, contract.names()), tolerance=tolerance)
    if not parity.passed:
        raise Mistake(
            f"{type(model).__name__} is not served as a graph ({why}), and in a process of its own it does not answer as "
            f"it does here: {_differs(parity)}; does it answer by what it has seen before, or by chance?"
        )
    return Standing(engine=engine, files=files, parity={**asdict(parity), "engine": "native", "why": why})


def _differs(parity: Parity) -> str:
    return (
        f"{parity.over_tolerance} of {parity.rows} rows differ by more than {parity.tolerance:g} "
        f"(largest {parity.max_difference:.3g}), {parity.class_changes} classes change"
    )

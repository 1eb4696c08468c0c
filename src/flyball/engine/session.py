"""A loaded version: its contract and its graph in ONNX Runtime. Imports nothing that a serving worker need not load."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from flyball.engine.bundle import MODEL, NATIVE, read_contract, require_proven, verify_bundle
from flyball.engine.check import columns_from_records
from flyball.engine.contract import Columns, Contract, Layout, Prediction, Table
from flyball.engine.threads import LARGE_ROWS, MEASURED_ROWS, Spread, candidates, choose, seconds_of
from flyball.errors import Corrupt, Mistake

#: a graph's inputs: float32 (rows, number features) and text (rows, category features); one of them may be absent.
NUMBERS = "numbers"
CATEGORIES = "categories"
#: a graph's output: float32 (rows, classes) of probabilities, or (rows, 1) of values.
OUTPUT = "answer"


class Engine:
    """A version that answers. Safe to use from several threads."""

    def __init__(self, contract: Contract, session: Any) -> None:
        self.contract = contract
        #: over what threads large batches are spread, where that was measured to be worth it.
        self.spread: Spread | None = None
        #: the ONNX Runtime session.
        self.session = session
        #: names of the graph's inputs.
        self.inputs = frozenset(item.name for item in session.get_inputs())
        self._labels = np.array(contract.classes, dtype=np.object_)
        #: column of the answer that is the score, of a binary model.
        self.positive = contract.classes.index(contract.positive) if contract.positive is not None else None

    def predict(self, columns: Columns) -> Prediction:
        """The answers to n rows. Columns beyond the contract's are ignored; one that lacks is a `Mistake`."""
        table = as_table(self.contract.layout, columns)
        spread = self.spread if table.rows >= LARGE_ROWS else None
        answer = (self.run(table) if spread is None else spread(self.run, table)).astype(np.float64)
        if self.positive is not None:
            score = answer[:, self.positive]
            return Prediction(prediction=score, score=score, probabilities=answer)
        if not len(self._labels):
            score = answer.ravel()
            return Prediction(prediction=score, score=score, probabilities=None)
        return Prediction(
            prediction=self._labels[answer.argmax(axis=1)], score=answer.max(axis=1), probabilities=answer
        )

    def run(self, table: Table) -> npt.NDArray[np.float32]:
        """The graph's own answer: float32 of shape (rows, classes), or (rows, 1) for a regression."""
        feeds: dict[str, npt.NDArray[Any]] = {}
        if NUMBERS in self.inputs:
            feeds[NUMBERS] = table.numbers
        if CATEGORIES in self.inputs:
            feeds[CATEGORIES] = table.categories
        answer: npt.NDArray[np.float32] = self.session.run((OUTPUT,), feeds)[0]
        return answer


def load_engine(folder: Path, digest: str | None, *, threads: int = 1) -> Engine:
    """The version in the bundle `folder`, verified against `digest` (None: against its own manifest only), warm.

    `threads`: how many it may use; more than one only for large batches, and only where that is measured to be faster.

    A native one in a process of its own, which ends with the engine. Raises `Corrupt` where the bundle is not what was
    written, its own proof failed, or its model does not answer its own example row.
    """
    verify_bundle(folder, digest)
    require_proven(folder)
    contract = read_contract(folder)
    path = folder / MODEL
    if not path.exists() and (folder / NATIVE).exists():
        from flyball.engine.native import NativeEngine  # which imports this module

        return NativeEngine(contract, folder, digest)
    try:
        model = path.read_bytes()
    except OSError as error:
        raise Corrupt(f"{path}: cannot be read ({error.strerror}); register the version again") from error
    return open_engine(contract, model, threads=threads, name=str(path))


def open_engine(contract: Contract, model: bytes, *, threads: int = 1, name: str = MODEL) -> Engine:
    """An engine from a graph's bytes (those of `compile_model`), warmed up with the contract's example row."""
    try:
        session = onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        engine = Engine(contract, session)
        example = as_table(contract.layout, columns_from_records(contract, [dict(contract.example)]))
        shape = engine.run(example).shape
        if threads > 1:
            engine.spread = _spread(engine, example, threads)
    except Exception as error:  # the runtime has no root of its own for what it raises
        why = first_line(error)
        raise Corrupt(f"{name}: does not answer its example row ({why}); register the version again") from error
    needs = (1, max(len(contract.classes), 1))
    if shape != needs:
        raise Corrupt(f"{name}: answers {shape} for one row, the contract says {needs}; register the version again")
    return engine


def as_table(layout: Layout, columns: Columns) -> Table:
    """`columns` in the blocks of `layout`, copied only where they are not so already."""
    if isinstance(columns, Table) and (
        columns.layout is layout
        or (columns.layout.numbers == layout.numbers and columns.layout.categories == layout.categories)
    ):
        return columns
    missing = [name for name in layout.names if name not in columns]
    if missing:
        raise Mistake(f"columns {', '.join(missing)} are missing; the model takes {', '.join(layout.names)}")
    rows = len(next(iter(columns.values()))) if layout.names else 0
    numbers = np.empty((rows, len(layout.numbers)), dtype=np.float32)
    categories = np.empty((rows, len(layout.categories)), dtype=np.object_)
    for name, (is_number, index) in layout.place.items():
        column = columns[name]
        if (column.dtype.kind in "fiub") is not is_number:
            raise Mistake(f"column {name!r} holds {column.dtype}, needs {'numbers' if is_number else 'text'}")
        (numbers if is_number else categories)[:, index] = column
    return Table(layout, numbers, categories)


def first_line(error: Exception) -> str:
    """What an error of somebody else's says, cut to one line."""
    return str(error).strip().partition("\n")[0][:300]


def _spread(engine: Engine, example: Table, threads: int) -> Spread | None:
    """What large batches are spread over; None where one thread is as good as more."""
    rows = np.zeros(MEASURED_ROWS, dtype=np.intp)
    batch = Table(example.layout, example.numbers[rows], example.categories[rows])
    ways = {count: Spread(count) for count in candidates(threads)}
    found = choose({count: seconds_of(partial(way, engine.run, batch)) for count, way in ways.items()})
    return ways[found] if found > 1 else None


def session_options() -> Any:
    """How a graph is run, wherever it is."""
    options = onnxruntime.SessionOptions()
    # One thread: the runtime's own change the last bits of an answer, and cost a small batch more than they save.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A spinning thread takes a core from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options

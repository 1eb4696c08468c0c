"""A model that comes as an ONNX graph (from PyTorch, TensorFlow, a converter) instead of as a fitted estimator.

What a step returns is `engine.graph_file`. onnx is imported when there is such a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from flyball.engine.contract import Contract, rows_of
from flyball.engine.frame import columns_from_frame, number_column, text_column
from flyball.engine.session import Engine, as_table, first_line, open_engine, session_options
from flyball.errors import Corrupt, Mistake

if TYPE_CHECKING:
    import pandas as pd

    from flyball.engine.given_reading import Input, Reading

#: how far probabilities may lie outside [0, 1], and their sum from 1: what float16 makes of a Softmax is within it.
PROBABILITY_TOLERANCE = 1e-3
#: rows that are asked together and one by one, to see that no answer hangs on its neighbours.
_ROWS_APART = 16

_FREE_ROWS = (
    "export it with a free first dimension: torch.onnx.export(..., dynamic_shapes=) or (..., dynamic_axes=), "
    "tf2onnx's input_signature with None"
)
#: element types as numpy writes them, by the names ONNX Runtime gives them.
_DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A graph as it came, run by ONNX Runtime, and the graph that is served in its place."""

    #: takes and gives what a session expects.
    graph: bytes
    contract: Contract
    reading: Reading
    #: of the graph as it came.
    session: Any

    def answers(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """What the graph as it came says to these rows: shape (rows, classes), or (rows, 1) of a regression."""
        found = _in_columns(_ask(self.session, self.reading, frame))
        if self.contract.task != "binary" or found.shape[1] == 2:
            return found
        both = [found, 1 - found]
        return np.hstack(both if self.contract.positive == self.contract.classes[0] else both[::-1])


def take(content: bytes, contract: Contract, trained: pd.DataFrame) -> Given:
    """Read a graph against its contract, and wrap it. `trained`: rows of training, to see that it answers soundly.

    Raises `Mistake` with what to change: an input or output that could be meant in two ways, logits, NaN, rows that
    change each other's answers, operators that are not there.
    """
    from flyball.engine.given_graph import wrap_graph  # slow: onnx
    from flyball.engine.given_reading import read_graph

    model = _checked(content)
    reading = read_graph(model, contract)
    session = _session(content, model)
    raw = _ask(session, reading, trained)
    columns = raw.shape[1] if raw.ndim == 2 else None
    _check_width(reading, contract, columns)
    _check_values(_in_columns(raw), contract)
    graph = wrap_graph(model, reading, contract, columns=columns)
    engine = _opened(contract, graph, reading)
    _check_apart(engine, trained.head(_ROWS_APART), reading)
    return Given(graph=graph, contract=contract, reading=reading, session=session)


def _checked(content: bytes) -> Any:
    import onnx  # slow

    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # the checker and protobuf raise what they like
        raise Mistake(
            f"the ONNX model is not valid: {first_line(error).rstrip('.')}. Export it again, with opset "
            f"{onnx.defs.onnx_opset_version()} and IR version {onnx.IR_VERSION} at most"
        ) from error
    return model


def _session(content: bytes, model: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(content, session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no root of its own for what it raises
        within = {item.domain for item in model.functions}
        foreign = {item.domain for item in model.graph.node} - within - {"", "ai.onnx", "ai.onnx.ml"}
        mend = "Export it with an older opset, such as opset_version=17"
        if foreign:
            mend = (
                f"It has operators of {', '.join(sorted(foreign))}; export it with those of ai.onnx and ai.onnx.ml only"
            )
        raise Mistake(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the ONNX model: {first_line(error)}. {mend}"
        ) from error


def _ask(session: Any, reading: Reading, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The answer in its own shape, (rows,) or (rows, columns). A fixed number of rows is asked for again and again."""
    types = {item.name: item.type for item in session.get_inputs()}
    feeds = {item.name: _feed(item, frame, _DTYPES[types[item.name]]) for item in reading.inputs}
    size = reading.batch or len(frame)
    parts = []
    for start in range(0, len(frame), size):
        rows = np.minimum(
            np.arange(start, start + size), len(frame) - 1
        )  # the last part is filled up with its last row
        try:
            found = session.run([reading.output], {name: values[rows] for name, values in feeds.items()})[0]
        except Exception as error:  # see _session
            raise Mistake(f"the ONNX model does not answer the training rows: {first_line(error)}") from error
        if reading.zipped is not None:
            found = np.array([[row[label] for label in reading.zipped] for row in found])
        if found.ndim not in (1, 2) or len(found) != size:
            raise Mistake(
                f"the output {reading.output!r} has the shape {found.shape} for {size} rows; "
                "needs one answer a row: [rows], [rows, 1] or [rows, classes]"
            )
        parts.append(found[: len(frame) - start])
    return np.concatenate(parts).astype(np.float64)


def _feed(item: Input, frame: pd.DataFrame, dtype: Any) -> npt.NDArray[Any]:
    column = text_column if dtype is np.object_ else number_column
    columns: list[Any] = [column(name, frame[name]) for name in item.features]
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is as infinite as in a request
        values: npt.NDArray[Any] = np.stack(columns, axis=1).astype(dtype)
    return values[:, 0] if item.flat else values


def _in_columns(raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return raw if raw.ndim == 2 else raw[:, np.newaxis]


def _check_width(reading: Reading, contract: Contract, columns: int | None) -> None:
    if contract.task == "regression":
        allowed: Iterable[int | None] = (None, 1)
        needs = "a regression has one value a row"
    elif contract.task == "binary":
        allowed = (None, 1, 2)
        needs = "a binary model has one probability a row, or two"
    else:
        allowed = (len(contract.classes),)
        needs = f"the training labels are {len(contract.classes)}: {', '.join(contract.classes)}"
    if columns not in allowed:
        raise Mistake(f"the output {reading.output!r} has {columns or 1} columns, and {needs}")
    codes = tuple(str(code) for code in range(len(contract.classes)))
    if reading.zipped is not None and tuple(map(str, reading.zipped)) not in (contract.classes, codes):
        raise Mistake(
            f"the graph's classes are {', '.join(map(str, reading.zipped))}, and the training labels, sorted, are "
            f"{', '.join(contract.classes)}; train the model on the same labels as they stand in the table"
        )


def _check_values(found: npt.NDArray[np.float64], contract: Contract) -> None:
    """Numbers, and of a classifier probabilities."""
    lost = int((~np.isfinite(found)).any(axis=1).sum())
    if lost:
        raise Mistake(
            f"the ONNX model answers {lost} of {len(found)} training rows with no finite number; has it met missing "
            "values? Fill them in, in the table or inside the graph"
        )
    if not contract.classes:
        return
    outside = (found < -PROBABILITY_TOLERANCE) | (found > 1 + PROBABILITY_TOLERANCE)
    several = found.shape[1] > 1
    apart = np.abs(found.sum(axis=1) - 1) > PROBABILITY_TOLERANCE if several else np.zeros(len(found), dtype=np.bool_)
    wrong = int((outside.any(axis=1) | apart).sum())
    if wrong:
        what = "lie outside [0, 1] or do not sum to 1" if several else "lie outside [0, 1]"
        raise Mistake(
            f"the ONNX model's answers to {wrong} of {len(found)} training rows {what} (lowest {found.min():.3g}, highest "
            f"{found.max():.3g}; {PROBABILITY_TOLERANCE:g} is allowed): they are no probabilities. End the graph in a "
            f"{'Softmax' if several else 'Sigmoid'}"
        )


def _opened(contract: Contract, graph: bytes, reading: Reading) -> Engine:
    try:
        return open_engine(contract, graph)
    except Corrupt as error:
        raise Mistake(_stiff(reading, str(error.__cause__ or error))) from error


def _check_apart(engine: Engine, frame: pd.DataFrame, reading: Reading) -> None:
    """The same answers to rows together and one by one: what graphs of a fixed batch, or over the batch, do not give."""
    table = as_table(engine.contract.layout, columns_from_frame(engine.contract, frame))
    try:
        together = engine.run(table)
        apart = np.concatenate([engine.run(rows_of(table, row, row + 1)) for row in range(table.rows)])
    except Exception as error:  # see _session
        raise Mistake(_stiff(reading, first_line(error))) from error
    if together.shape != apart.shape or not np.allclose(together, apart, rtol=1e-4, atol=1e-5):
        why = "a row's answer is another when it is asked together with other rows"
        raise Mistake(_stiff(reading, why))


def _stiff(reading: Reading, why: str) -> str:
    if reading.batch is not None:
        return (
            f"the ONNX model was exported for {reading.batch} rows, and answers no other number ({why}); {_FREE_ROWS}"
        )
    return (
        f"the ONNX model does not answer any number of rows alike: {why}. Export it in evaluation mode, and without an "
        "operator over the rows, such as a Softmax or a squeeze of the first dimension"
    )

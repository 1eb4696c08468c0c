"""A few records at a time, without tables: their numbers are packed into a buffer that is bound to the graph.

Most requests hold one row, and what a table of one row costs to make, to look at and to take apart is a multiple of
what the model costs; rows of different requests that are here at the same moment share one call. Whatever is unusual
about a record is left to `engine.check`, which says what is wrong with it.
"""

from __future__ import annotations

import math
import struct
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from flyball.engine.contract import Table
from flyball.engine.session import CATEGORIES, NUMBERS, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from flyball.engine.contract import Layout
    from flyball.engine.session import Engine

#: rows that are answered by one call.
MANY = 64

_NUMBER: frozenset[type] = frozenset({float, int})
_NULLABLE: frozenset[type] = _NUMBER | {NoneType}
_TEXT: frozenset[type] = frozenset({str})
_FLOAT_BYTES = 4


class Packed(NamedTuple):
    """Rows that wait: cheap to make and to keep, and a table only when `unpacked`."""

    #: float32, row by row.
    numbers: bytes
    #: of each row; empty where the layout has no categories.
    texts: list[tuple[str, ...]]


def unpacked(layout: Layout, parts: Sequence[Packed]) -> Table:
    """All rows of the parts, in order."""
    buffer = bytearray().join([part.numbers for part in parts])
    numbers = np.frombuffer(buffer, dtype=np.float32).reshape(-1, len(layout.numbers))
    if layout.categories:
        return Table(layout, numbers, np.array([texts for part in parts for texts in part.texts], dtype=np.object_))
    return Table(layout, numbers, np.empty((len(numbers), 0), dtype=np.object_))


def few_rows(engine: Engine) -> Rows | None:
    """A version's way for a few rows; None where its rows are never usual: several classes, booleans, timestamps."""
    layout = engine.contract.layout
    if engine.contract.task == "multiclass" or layout.booleans.size or layout.timestamps or not layout.numbers:
        return None
    return Rows(engine)


class Rows:
    """A binary or regression version, answering records. For one thread: its buffers are used again."""

    __slots__ = (
        *("_answers", "_at", "_bindings", "_classes", "_count", "_inputs", "_integers", "_layout", "_nullable"),
        *("_numbers", "_of_categories", "_of_numbers", "_out", "_pack", "_packed", "_row_bytes", "_session", "_texts"),
        "_texts_scored",
        *("_width", "longest_text"),
    )

    def __init__(self, engine: Engine) -> None:
        contract, layout = engine.contract, engine.contract.layout
        features = len(layout.numbers)
        self._layout = layout
        self._width = len(layout.names)
        self._of_numbers, self._of_categories = layout.of_record
        self._integers = tuple(layout.integers.tolist())
        self._nullable = tuple(layout.numbers_nullable.tolist())
        self._numbers = np.zeros((MANY, features), dtype=np.float32)
        self._packed = memoryview(self._numbers.data).cast("B")
        self._pack = struct.Struct(f"={features}f").pack_into
        self._row_bytes = features * _FLOAT_BYTES
        #: a JSON text longer than this holds more than one usual record; bytes.
        self.longest_text = 1024 + sum(len(name) + 64 for name in layout.names)
        #: of the records put since the last call: how many, and their categories.
        self._count = 0
        self._texts: list[tuple[str, ...]] = []
        self._texts_scored: list[tuple[str, ...]] = []
        self._session = engine.session
        self._inputs = engine.inputs
        self._classes = max(len(contract.classes), 1)
        self._at = engine.positive or 0
        self._out = np.zeros((MANY, self._classes), dtype=np.float32)
        self._answers = memoryview(self._out.data).cast("B").cast("f")
        #: number of rows -> buffers bound for so many. Text cannot be bound.
        self._bindings: dict[int, Any] = {}

    def put(self, record: Any) -> bool:
        """Take in a record; False where it must be looked at with care, or there is no room before the next `scores`."""
        if type(record) is not dict or len(record) != self._width or self._count == MANY:
            return False
        try:
            numbers = self._of_numbers(record)
            types = set(map(type, numbers))
            if not types <= _NUMBER:
                if not types <= _NULLABLE or not self._may_lack(numbers):
                    return False
                numbers = tuple([math.nan if value is None else value for value in numbers])
            self._pack(self._packed, self._count * self._row_bytes, *numbers)
            texts = self._of_categories(record) if self._layout.categories else None
        except (KeyError, OverflowError, struct.error):  # a feature is missing; a number is beyond float32
            return False
        if self._integers and not all(map(_integral, map(numbers.__getitem__, self._integers))):
            return False
        if texts is not None:
            if set(map(type, texts)) != _TEXT or "" in texts:
                return False
            self._texts.append(texts)
        self._count += 1
        return True

    def scores(self) -> list[float]:
        """The answers to the records put since the last call, in their order: probabilities, or values."""
        rows, self._count = self._count, 0
        if self._layout.categories:
            texts, self._texts = self._texts, []
            self._texts_scored = texts
            feeds: dict[str, npt.NDArray[Any]] = {CATEGORIES: np.array(texts, dtype=np.object_)}
            if NUMBERS in self._inputs:
                feeds[NUMBERS] = self._numbers[:rows]
            answer: npt.NDArray[np.float32] = self._session.run((OUTPUT,), feeds)[0]
            return cast("list[float]", answer[:, self._at].tolist())
        self._session.run_with_iobinding(self._bindings.get(rows) or self._bound(rows))
        return cast("list[float]", self._answers[self._at : rows * self._classes : self._classes].tolist())

    def packed(self, rows: int) -> Packed:
        """A copy of the `rows` records that were scored last; to be called before the next `put`."""
        return Packed(bytes(self._packed[: rows * self._row_bytes]), self._texts_scored)

    def _may_lack(self, numbers: tuple[Any, ...]) -> bool:
        return all(may for value, may in zip(numbers, self._nullable, strict=True) if value is None)

    def _bound(self, rows: int) -> Any:
        binding = self._session.io_binding()
        shape = (rows, len(self._layout.numbers))
        binding.bind_input(NUMBERS, "cpu", 0, np.float32, shape, self._numbers.ctypes.data)
        binding.bind_output(OUTPUT, "cpu", 0, np.float32, (rows, self._classes), self._out.ctypes.data)
        self._bindings[rows] = binding
        return binding


def _integral(value: float) -> bool:
    """Whole, or missing."""
    return type(value) is int or value != value or value.is_integer()

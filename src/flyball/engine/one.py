"""One row at a time, without tables: its numbers are packed into a buffer that is bound to the graph once.

Most requests hold one row, and what a table of one row costs to make, to look at and to take apart is a multiple of
what the model costs. Whatever is unusual about a row is left to `engine.check`, which says what is wrong with it.
"""

from __future__ import annotations

import math
import struct
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from flyball.engine.contract import Table
from flyball.engine.session import CATEGORIES, NUMBERS, OUTPUT

if TYPE_CHECKING:
    import numpy.typing as npt

    from flyball.engine.contract import Table
from flyball.engine.session import Engine

_NUMBER: frozenset[type] = frozenset({float, int})
_NULLABLE: frozenset[type] = _NUMBER | {NoneType}
_TEXT: frozenset[type] = frozenset({str})
_NO_TEXT = np.empty((1, 0), dtype=np.object_)


def one_row(engine: Engine) -> OneRow | None:
    """A version's way for single rows; None where its rows are never usual: several classes, or booleans."""
    layout = engine.contract.layout
    if engine.contract.task == "multiclass" or layout.booleans.size or not layout.numbers:
        return None
    return OneRow(engine)


class OneRow:
    """A binary or regression version, answering records one by one. For one thread: its buffers are used again."""

    __slots__ = (
        *("_answer", "_at", "_categories", "_feeds", "_integers", "_layout", "_nullable", "_numbers", "_of_categories"),
        *("_of_numbers", "_pack", "_packed", "_run", "_session", "_width"),
    )

    def __init__(self, engine: Engine) -> None:
        contract, layout = engine.contract, engine.contract.layout
        count = len(layout.numbers)
        self._layout = layout
        self._width = len(layout.names)
        self._of_numbers, self._of_categories = layout.of_record
        self._integers = tuple(layout.integers.tolist())
        self._nullable = tuple(layout.numbers_nullable.tolist())
        self._numbers = np.zeros((1, count), dtype=np.float32)
        self._packed = memoryview(self._numbers.data).cast("B")
        self._pack = struct.Struct(f"={count}f").pack_into
        self._at = engine.positive or 0
        self._session = engine.session
        self._categories = bool(layout.categories)
        #: for text, which cannot be bound to a buffer.
        self._feeds: dict[str, npt.NDArray[Any]] = {NUMBERS: self._numbers} if NUMBERS in engine.inputs else {}
        out = np.zeros((1, max(len(contract.classes), 1)), dtype=np.float32)
        self._answer = memoryview(out.data).cast("B").cast("f")
        if not self._categories:
            binding = self._session.io_binding()
            binding.bind_input(NUMBERS, "cpu", 0, np.float32, self._numbers.shape, self._numbers.ctypes.data)
            binding.bind_output(OUTPUT, "cpu", 0, np.float32, out.shape, out.ctypes.data)
            self._run = partial(self._session.run_with_iobinding, binding)

    def score(self, record: Any) -> float | None:
        """The answer to one record (float64: a probability, or a value); None where it must be looked at with care."""
        if type(record) is not dict or len(record) != self._width:
            return None
        try:
            numbers = self._of_numbers(record)
            types = set(map(type, numbers))
            if not types <= _NUMBER:
                if not types <= _NULLABLE or not self._may_lack(numbers):
                    return None
                numbers = tuple([math.nan if value is None else value for value in numbers])
            self._pack(self._packed, 0, *numbers)
            texts = self._of_categories(record) if self._categories else ()
        except (KeyError, OverflowError, struct.error):  # a feature is missing; a number is beyond float32
            return None
        if self._integers and not all(map(_integral, map(numbers.__getitem__, self._integers))):
            return None
        if not self._categories:
            self._run()
            return self._answer[self._at]
        if set(map(type, texts)) != _TEXT or "" in texts:
            return None
        self._feeds[CATEGORIES] = np.array((texts,), dtype=np.object_)
        return float(self._session.run((OUTPUT,), self._feeds)[0].item(self._at))

    def columns(self) -> Table:
        """The row scored last, as a table of its own."""
        categories = self._feeds.get(CATEGORIES, _NO_TEXT)
        return Table(self._layout, self._numbers.copy(), categories)

    def _may_lack(self, numbers: tuple[Any, ...]) -> bool:
        return all(may for value, may in zip(numbers, self._nullable, strict=True) if value is None)


def _integral(value: float) -> bool:
    """Whole, or missing."""
    return type(value) is int or value != value or value.is_integer()

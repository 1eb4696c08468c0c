"""Requests that got no answer leave a row in the lake of errors: status, reason, columns, caller; never a value.

A flood of them must not fill the disk: beyond a burst a worker writes so many a second, and counts what it shed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flyball.journal.line import encode_error
from flyball.serving.routes import match

if TYPE_CHECKING:
    from collections.abc import Collection

    from flyball.serving.metrics import Metrics
    from flyball.serving.problem import Location, Problem
    from flyball.serving.requests import Arrivals
    from flyball.serving.served import Served
    from flyball.serving.writing import Writer

#: rows a worker may write at once, and those it may add each second.
BURST = 1000.0
RATE = 10.0
#: columns that one row names.
MOST_COLUMNS = 10

#: what may stand in a place besides the model's own columns; other text is the client's, and could be anything.
_WORDS = frozenset(
    (
        *("inputs", "instances", "outputs", "columns", "data", "index", "key", "timestamp", "parameters", "params"),
        *("dataframe_split", "dataframe_records", "outcomes", "id", "name", "value", "datatype", "shape", "header"),
        *("Idempotency-Key", "Content-Type"),
    )
)


class Refusals:
    """One worker's way into the lake of errors."""

    def __init__(self, journal: Writer, metrics: Metrics, arrivals: Arrivals) -> None:
        self._journal = journal
        self._metrics = metrics
        self._arrivals = arrivals
        self._allowed = BURST
        self._at = time.monotonic()

    def record(
        self, problem: Problem, served: Served | None, *, model: str, path: str, asked_by: str, caller: str
    ) -> None:
        """Write the row of one request, or count it as shed.

        `served`: what it reached; without it `model` is the deployed model that it named, or `NO_MODEL`. `caller`: the
        address it came from, as the socket has it.
        """
        now = time.monotonic()
        self._allowed = min(BURST, self._allowed + (now - self._at) * RATE)
        self._at = now
        if self._allowed < 1.0:
            self._metrics.recorded("shed")
            return
        self._allowed -= 1.0
        found = match(path)
        at_ns = time.time_ns()
        line = encode_error(
            id=self._arrivals.new_id(at_ns),
            timestamp=self._arrivals.stamp(at_ns),
            model=model,
            version=None if served is None else served.version,
            status=problem.status,
            reason=problem.kind,
            columns=columns_of(problem, served)[:MOST_COLUMNS],
            caller=caller,
            request_id=asked_by,
            route=next(iter(found[0].values())).path if found else "",
        )
        fate = self._journal.append(line, self, 1)
        if fate != "waiting":
            self._metrics.recorded(fate)

    def settled(self, rows: int, *, written: bool) -> None:
        self._metrics.recorded("written" if written else "dropped", rows)


def columns_of(problem: Problem, served: Served | None) -> list[str]:
    """The model's columns that the problem names, each once."""
    names = set(served.engine.contract.names()) if served else set()
    return list(dict.fromkeys(part for item in problem.errors for part in item.loc if part in names))


def places(problem: Problem, served: Served | None) -> list[str]:
    """Where in the request the problem lies, for the log: names that are neither ours nor the model's become `?`."""
    names = _WORDS.union(served.engine.contract.names() if served else ())
    return [_place(item.loc, names) for item in problem.errors]


def _place(loc: Location, names: Collection[str]) -> str:
    return ".".join(str(part) if isinstance(part, int) or part in names else "?" for part in loc)

"""Outcomes on their way into the journal. Unlike an answer, an outcome is worth nothing unless it is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flyball.journal.line import encode_outcomes
from flyball.serving.answer import Answer, json_answer
from flyball.serving.outcomes import decode_outcomes
from flyball.serving.problem import later
from flyball.serving.requests import item_ids

if TYPE_CHECKING:
    from flyball.serving.metrics import Metrics
    from flyball.serving.requests import Arrival, Arrivals
    from flyball.serving.writing import Writer

#: when outcomes that could not be written are worth sending again, seconds.
_AGAIN_S = 5


class _Kept:
    """Whether the outcomes of one request were written, where that was not known at once."""

    written = False

    def settled(self, rows: int, *, written: bool) -> None:
        del rows
        self.written = written


class Keeping:
    """One worker's way into the journal of outcomes. Everything here runs on its event loop."""

    def __init__(self, journal: Writer, metrics: Metrics, arrivals: Arrivals, timeout_s: float) -> None:
        self._journal = journal
        self._metrics = metrics
        self._arrivals = arrivals
        self._timeout_s = timeout_s

    async def keep(self, model: str, came: Arrival, body: bytes) -> Answer:
        """202 once they are written. Raises `Problem` (400, 422, 503)."""
        at_ns = time.time_ns()
        outcomes = decode_outcomes(body, at_ns / 1e9)
        ids = item_ids(came.headers, f"outcomes of {model}", came.made, len(outcomes))
        for outcome, outcome_id in zip(outcomes, ids, strict=True):
            outcome["outcome_id"] = outcome_id
        received_at = self._arrivals.stamp(at_ns)
        kept = _Kept()
        line = encode_outcomes(model=model, received_at=received_at, outcomes=outcomes)
        fate = self._journal.append(line, kept, len(outcomes))
        if fate == "waiting":
            await self._journal.settled(self._timeout_s)
        if fate == "dropped" or (fate == "waiting" and not kept.written):
            raise later("journal", "the outcomes could not be written; send them again later", _AGAIN_S)
        self._metrics.outcomes(model, len(outcomes))
        return json_answer({"accepted": len(outcomes), "ids": ids}, status=202)

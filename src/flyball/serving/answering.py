"""From a request's body to its answer's: the hot path. Tables are built at a switch, nothing is looked up twice.

Order of work: contract, engine, encoding, journal, answer; shadows after the answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flyball.journal.line import about, encode_predictions
from flyball.serving.protocols.native import Asked, decode, encode
from flyball.serving.requests import Arrivals, Headers, item_ids
from flyball.serving.sampling import sampled
from flyball.serving.served import LIVE, Served
from flyball.serving.shadows import Answered, Shadows

if TYPE_CHECKING:
    from flyball.engine.contract import Prediction


def score(served: Served, body: bytes, now_s: float) -> tuple[Asked, Prediction]:
    """The request, understood, and the live version's answer to it. Raises `Problem`."""
    asked = decode(body, served.engine.contract, now_s)
    return asked, served.engine.predict(asked.columns)


class Answering:
    """What an answer passes through on its way out. Everything here runs on the event loop."""

    __slots__ = ("_arrivals", "_shadows")

    def __init__(self, shadows: Shadows, arrivals: Arrivals) -> None:
        self._shadows = shadows
        self._arrivals = arrivals

    def conclude(
        self,
        served: Served,
        headers: Headers,
        asked_by: str,
        made: str,
        scored: tuple[Asked, Prediction],
        at_ns: int,
        started: float,
        said: bytes | None = None,
    ) -> bytes:
        """Encode, journal, count; the answer's body. `said`: the body, where it is encoded already."""
        asked, prediction = scored
        ids = item_ids(headers, served.model, made, asked.rows)
        answer = encode(served.head, prediction, ids, multiclass=served.multiclass) if said is None else said
        rows = asked.rows
        if served.sample < 1.0:
            kept = sampled(served.sample, asked, prediction, ids)
            if kept is None:
                served.counts.answered(rows, time.perf_counter() - started, "sampled_out")
                return answer
            asked, prediction, ids = kept
        received_at = self._arrivals.stamp(at_ns)
        timestamp = asked.timestamp or received_at
        text = asked.text if served.verbatim else None
        line = encode_predictions(
            model=served.model,
            version=served.version,
            variant=LIVE,
            role="live",
            source="http",
            generation=served.generation,
            request_id=asked_by,
            ids=ids,
            timestamp=timestamp,
            received_at=received_at,
            latency_ms=(time.perf_counter() - started) * 1000,
            key=asked.keys,
            features=served.kept(asked.columns) if text is None else {},
            inputs=text,
            prediction=prediction.prediction,
            score=prediction.score,
        )
        fate = served.journal.append(line, served.counts, asked.rows)
        # Counted before it is sent: a worker killed in between has counted one too many, never one too few.
        served.counts.answered(rows, time.perf_counter() - started, fate, rows - asked.rows)
        if served.shadows:
            # Scored by a task of its own, which comes to run when the answer has left.
            about_it = about(request_id=asked_by, ids=ids, timestamp=timestamp, received_at=received_at, key=asked.keys)
            self._shadows.put(Answered(served, asked.columns, [about_it], [len(ids)], len(ids)))
        return answer

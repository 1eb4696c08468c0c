"""What a request gets that gets no answer: told in the words of its protocol, counted, logged, kept (`refusals`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flyball.journal.line import NO_MODEL
from flyball.serving.answer import Answer, whole
from flyball.serving.loglines import origin
from flyball.serving.problem import CONTENT_TYPE, Problem
from flyball.serving.refusals import Refusals, places
from flyball.serving.requests import Arrival, request_id
from flyball.serving.served import LIVE

if TYPE_CHECKING:
    from flyball.serving.deployed import Deployed
    from flyball.serving.loglines import Log
    from flyball.serving.metrics import Metrics
    from flyball.serving.requests import Arrivals
    from flyball.serving.served import Served
    from flyball.serving.turn import Small
    from flyball.serving.writing import Writer

_INTERNAL = "something failed here, not in the request; the server's log has more under this request's id"
#: of a path, so many characters are logged.
_PATH_LENGTH = 200


class Refusing:
    """One worker's refusals. Everything here runs on its event loop."""

    def __init__(self, deployed: Deployed, journal: Writer, metrics: Metrics, arrivals: Arrivals, log: Log) -> None:
        self._deployed = deployed
        self._metrics = metrics
        self._arrivals = arrivals
        self._log = log
        self._refusals = Refusals(journal, metrics, arrivals)

    def answer(self, error: Exception, came: Arrival, served: Served | None) -> Answer:
        """What a request gets that ended in `error`. `served`: the model that it reached."""
        return self._refuse(*_problem(error), came, served)

    def directly(self, error: Exception, small: Small, *, close: bool) -> bytes:
        """The same as a whole HTTP response, for a request that did not come by ASGI."""
        served, connection = small.served, small.connection
        made = self._arrivals.new_id(time.time_ns())
        came = Arrival("POST", served.path, small.fields, connection.client, made, request_id(small.fields, made))
        return whole(self._refuse(*_problem(error), came, served), came, close=close, date=connection.date())

    def unread(
        self,
        problem: Problem,
        cause: Exception | None,
        *,
        method: str,
        path: str,
        client: tuple[str, int] | None,
        date: bytes,
    ) -> bytes:
        """The same of what could not be read as a request; method and path are empty where they are not known."""
        made = self._arrivals.new_id(time.time_ns())
        came = Arrival(method, path, {}, client, made, made)
        return whole(self._refuse(problem, cause, came, None), came, close=True, date=date)

    def _refuse(self, problem: Problem, cause: Exception | None, came: Arrival, served: Served | None) -> Answer:
        if served is None:
            self._metrics.refused("", "", "", problem.status)
        else:
            self._metrics.refused(served.model, str(served.version), LIVE, problem.status)
        directory = self._deployed.directory
        path, asked_by = came.path, came.asked_by
        model = served.model if served else directory.model_at(path) or NO_MODEL
        caller = came.client[0] if came.client else ""
        reached = served or self._deployed.served.get(model)
        self._refusals.record(problem, reached, model=model, path=path, asked_by=asked_by, caller=caller)
        self._log(
            {
                "event": "refused" if problem.status < 500 else "failed",
                "request_id": asked_by,
                "method": came.method,
                "path": path[:_PATH_LENGTH],
                "status": problem.status,
                "kind": problem.kind,
                "where": places(problem, reached),
                "cause": origin(cause) if cause else None,
            }
        )
        body = problem.body(asked_by, directory.dialect_at(path).refuse(problem))
        return Answer(body=body, content_type=CONTENT_TYPE, status=problem.status, headers=problem.headers)


def _problem(error: Exception) -> tuple[Problem, Exception | None]:
    """What the client learns: of a fault of ours only that it was ours; and that fault, for the log."""
    if isinstance(error, Problem):
        return error, None
    return Problem("internal", _INTERNAL), error

"""The ASGI application: which request goes where. Small predictions do not come through here (`protocol`, `turn`)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from flyball.serving.answer import Answer, Send, send_answer
from flyball.serving.bodies import Bodies
from flyball.serving.deployed import Deployed
from flyball.serving.keeping import Keeping
from flyball.serving.pages import page
from flyball.serving.predicting import Predicting
from flyball.serving.problem import Problem, later
from flyball.serving.refusing import Refusing
from flyball.serving.requests import Arrival, Arrivals, by_asgi
from flyball.serving.routes import Table, routes
from flyball.serving.shadows import Shadows
from flyball.serving.turn import Turn

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from flyball.registry.tokens import Scope
    from flyball.serving.journals import Journals
    from flyball.serving.loglines import Log
    from flyball.serving.metrics import Metrics
    from flyball.serving.options import Options

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class App:
    """One worker's application. Everything here runs on its event loop."""

    def __init__(
        self,
        *,
        options: Options,
        metrics: Metrics,
        metrics_folder: Path,
        journals: Journals,
        salt: bytes,
        executor: Executor,
        log: Log,
    ) -> None:
        self.options = options
        self.metrics = metrics
        self.metrics_folder = metrics_folder
        self.journals = journals
        #: set when the worker is about to stop: still answers, but asks clients to leave.
        self.draining = False
        #: the requests this worker has taken and not yet answered, as the server counts them.
        self.waiting: Collection[object] = ()
        self.bodies = Bodies(options.max_body_bytes, options.timeout_s)
        self.shadows = Shadows(journals.predictions, metrics, executor)
        self.table = Table(routes(vertex_predict=options.vertex_predict, vertex_health=options.vertex_health))
        self.deployed = Deployed(
            table=self.table, options=options, metrics=metrics, journals=journals, salt=salt, log=log
        )
        self._arrivals = arrivals = Arrivals()
        self.refusing = Refusing(self.deployed, journals.errors, metrics, arrivals, log)
        self.predicting = Predicting(options, arrivals, self.shadows, self.refusing, executor)
        self.turn = Turn(arrivals, self.shadows, self.predicting.alone)
        self._keeping = Keeping(journals.outcomes, metrics, arrivals, options.timeout_s)
        self._values = metrics.values
        self._in_flight = metrics.in_flight
        self._log = log

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        came = by_asgi(scope, self._arrivals.new_id(time.time_ns()))
        target = self.deployed.directory.predict.get(came.path)
        served = target.served if target else None
        self.begun(1)
        try:
            if len(self.waiting) > self.options.max_waiting:
                raise later("overloaded", f"more than {self.options.max_waiting} requests are waiting; come back soon")
            if target is not None and came.method == "POST":
                served = served or await self.deployed.reach(target.model, came)
                body = await self._body("predict", served.model, came, receive)
                answer = await self.predicting.predict(served, target.dialect, came, body)
            else:
                answer = await self._other(came, receive)
            await send_answer(send, answer, came, close=self.draining)
        except ConnectionAbortedError:
            pass  # the client went away before its request was whole
        except Exception as error:  # noqa: BLE001 - the edge: whatever it was, the client learns only that it was ours
            refused = self.refusing.answer(error, came, served)
            await send_answer(send, refused, came, close=self.draining)
        finally:
            self.begun(-1)

    def begun(self, requests: int) -> None:
        """Count requests as in flight; -1 when one ends."""
        self._values[self._in_flight] += requests

    def left(self, client: tuple[str, int] | None, unread: int) -> None:
        """Tell of a connection that was ended since nobody read its answers, of which `unread` bytes wait."""
        self._log({"event": "slow reader", "caller": client[0] if client else "", "unread_bytes": unread})

    async def _other(self, came: Arrival, receive: Receive) -> Answer:
        """Whatever is no prediction. Raises `Problem`."""
        found = self.table.match(came.path)
        if found is None:
            there = ", ".join(f"{route.method} {route.path}" for route in self.table.routes)
            raise Problem("no-such-route", f"there is nothing at this path; there is {there}")
        route = found.routes.get(came.method)
        if route is None:
            allow = ", ".join(sorted(found.routes))
            raise Problem("method", f"this route takes {allow}", headers=[(b"allow", allow.encode())])
        held = self.deployed.directory.of(found, came.headers, came.query)
        if route.name == "outcomes" and held is not None:
            model = held.deployment.model
            return await self._keeping.keep(model, came, await self._body("outcomes", model, came, receive))
        return await page(route.name, self, held, came.headers)

    async def _body(self, scope: Scope, model: str, came: Arrival, receive: Receive) -> bytes:
        """The body of a request that may ask this of the model. Raises `Problem`."""
        self.deployed.door.check(came.headers, scope, model)
        return await self.bodies.read(came.headers, receive)

"""The ASGI application: which request goes where, and what is told when it fails. The hot path is `answering`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flyball.journal.line import NO_MODEL, encode_outcomes
from flyball.serving.access import Door, by_digest
from flyball.serving.answer import Answer, Send, json_answer, send_answer, whole
from flyball.serving.answering import Answering, score
from flyball.serving.bodies import Bodies
from flyball.serving.directory import Directory
from flyball.serving.held import Held, Lazy
from flyball.serving.loglines import origin
from flyball.serving.models import Roster
from flyball.serving.outcomes import Kept, decode_outcomes
from flyball.serving.pages import page
from flyball.serving.problem import CONTENT_TYPE, Problem, later
from flyball.serving.protocols.dialect import score_in
from flyball.serving.protocols.dialects import NATIVE, spoken_at
from flyball.serving.queueing import Queue
from flyball.serving.readiness import said
from flyball.serving.refusals import Refusals, places
from flyball.serving.requests import Arrivals, Headers, item_ids, request_id
from flyball.serving.routes import Table, routes
from flyball.serving.served import LIVE, Served, response
from flyball.serving.shadows import Shadows
from flyball.serving.turn import Connection, Small, Turn
from flyball.serving.waking import Waking

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.engine.contract import Prediction
    from flyball.serving.batching import Gathering
    from flyball.serving.held import Loaded
    from flyball.serving.journals import Journals
    from flyball.serving.metrics import Metrics
    from flyball.serving.options import Options
    from flyball.serving.protocol import Head
    from flyball.serving.protocols.dialect import Dialect, Encode
    from flyball.serving.protocols.native import Asked

#: larger bodies are decoded and scored in a thread, so that one large batch does not hold up the others.
INLINE_BYTES = 512 * 1024

#: rows up to which a header repeats their ids, in protocols whose answers have no place for them.
MOST_IDS = 100

#: in a scope: whether the client has gone away.
GONE = "flyball.gone"

_INTERNAL = "something failed here, not in the request; the server's log has more under this request's id"

Result = TypeVar("Result")
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
#: told of every request that was refused or failed; never of the values in it.
Log = Callable[[Mapping[str, Any]], None]


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
        self.metrics_folder = metrics_folder
        self.journals = journals
        self.roster = Roster()
        #: set when the worker is about to stop: still answers, but asks clients to leave.
        self.draining = False
        #: the requests this worker has taken and not yet answered, as the server counts them.
        self.waiting: Collection[object] = ()
        self.bodies = Bodies(options.max_body_bytes, options.timeout_s)
        self.shadows = Shadows(journals.predictions, metrics, executor)
        self._metrics = metrics
        self._values = metrics.values
        self._in_flight = metrics.in_flight
        self._salt = salt
        self.arrivals = Arrivals()
        self.answering = Answering(self.shadows, self.arrivals)
        self.turn = Turn(self)
        self._refusals = Refusals(journals.errors, metrics, self.arrivals)
        #: heavy requests wait here for their turn: those the event loop does itself, and those for the thread.
        self.inline = Queue(options.timeout_s, options.max_waiting)
        self._aside = Queue(options.timeout_s, options.max_waiting, executor)
        self._log = log
        self._served: dict[str, Served] = {}
        #: every deployed model that can be asked; of them, as they were made into `_served`, those in memory.
        self.held: dict[str, Held] = {}
        self._loaded: dict[str, Loaded] = {}
        self._waking = Waking(ended=self._woken, tell=lambda lack: said(lack, self))
        self.table = Table(routes(vertex_predict=options.vertex_predict, vertex_health=options.vertex_health))
        self._directory = Directory(self.table, {}, {}, {})
        #: the same as it stands in a request line, for `protocol`; and where a token is asked for.
        self.direct: dict[bytes, Served] = {}
        self.guarded: dict[bytes, Served] = {}
        self.door = Door()
        #: heads of requests as they came -> what they mean, for `protocol`; of this deployment.
        self.heads: dict[bytes, Head] = {}

    def switch(self, roster: Roster) -> None:
        """Serve `roster` from the next request on. What has been asked for is in memory already, so nothing waits."""
        held = {name: self._now(name, item) for name, item in roster.models.items()}
        loaded = {name: now for name, item in held.items() if (now := item.loaded)}
        served = {
            name: have
            if (have := self._served.get(name)) and self._loaded.get(name) is now
            else Served(now, self._metrics, self._salt, self.journals, self.options)
            for name, now in loaded.items()
        }
        self._metrics.serves([line for item in served.values() for line in item.versions()])
        self.held, self._loaded, self._served = held, loaded, served
        options = self.options
        self.door = Door(public=options.public, auth=dict(options.auth), grants=by_digest(roster.grants))
        absent = {name: said(lack, self) for name, lack in roster.absent.items()}
        self._directory = Directory(self.table, held, served, absent)
        # Where an answer waits for the disk, or for another process, it cannot be given at once.
        native = {path: to.served for path, to in self._directory.predict.items() if to.dialect is NATIVE}
        short = {
            path.encode(): item for path, item in native.items() if item and item.gathering is None and not item.durable
        }
        self.guarded = {path: item for path, item in short.items() if self.door.asks("predict", item.model)}
        self.direct = {path: item for path, item in short.items() if path not in self.guarded}
        self.heads.clear()
        self.roster = roster

    def _now(self, name: str, held: Held) -> Held:
        """`held`; but the version before it where that was first asked for while this one was looked at, until it is loaded."""
        have = self._loaded.get(name)
        if have is None or not isinstance(held, Lazy) or held.loaded:
            return held
        self._waking.begin(held)
        return have

    def _woken(self, lazy: Lazy) -> None:
        for lack in lazy.lacks:
            self._log({"event": "degraded", "what": str(lack)})
        if lazy.loaded:
            self.switch(self.roster)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = self._directory.predict.get(scope["path"])
        served = target.served if target else None
        headers: Headers = dict(scope["headers"])
        at_ns = time.time_ns()
        made = self.arrivals.new_id(at_ns)
        asked_by = request_id(headers, made)
        values, in_flight = self._values, self._in_flight
        values[in_flight] += 1.0
        try:
            if len(self.waiting) > self.options.max_waiting:
                raise later("overloaded", f"more than {self.options.max_waiting} requests are waiting; come back soon")
            if target is not None and scope["method"] == "POST":
                served = served or await self._found(target.model, headers, scope.get("query_string", b""))
                gone = scope.get(GONE, _here)
                await self._predict(served, target.dialect, headers, asked_by, made, receive, send, gone)
            else:
                await self._other(scope, headers, asked_by, made, receive, send)
        except Problem as problem:
            refused = self._refusal(problem, scope["method"], scope["path"], served, asked_by, scope.get("client"))
            await self._send(refused, headers, asked_by, send)
        except ConnectionAbortedError:
            pass  # the client went away before its request was whole
        except Exception as error:  # noqa: BLE001 - the edge: whatever it was, the client learns only that it was ours
            fault = Problem("internal", _INTERNAL)
            client = scope.get("client")
            refused = self._refusal(fault, scope["method"], scope["path"], served, asked_by, client, error)
            await self._send(refused, headers, asked_by, send)
        finally:
            values[in_flight] -= 1.0

    async def _found(self, model: str | None, headers: Headers, query: bytes) -> Served:
        """The model that a prediction is asked of (None: the request picks it), loaded first if need be."""
        model = model or self._directory.picked(headers, query).deployment.model
        self.door.check(headers, "predict", model)
        while (served := self._served.get(model)) is None:
            await self._waking.wake(self._directory.named(model), self.options.timeout_s)
        return served

    def begun(self, requests: int) -> None:
        """Count requests, begun outside `__call__`, as in flight; -1 when one ends."""
        self._values[self._in_flight] += requests

    async def _predict(
        self,
        served: Served,
        dialect: Dialect,
        headers: Headers,
        asked_by: str,
        made: str,
        receive: Receive,
        send: Send,
        gone: Callable[[], bool],
    ) -> None:
        self.door.check(headers, "predict", served.model)
        body = await self.bodies.read(headers, receive)
        if dialect is not NATIVE or served.gathering is not None:
            await self._predict_in(dialect, served, headers, asked_by, made, body, send, gone)
            return
        started, at_ns = time.perf_counter(), time.time_ns()
        scored = await self._turn(partial(score, served, body, at_ns / 1e9), len(body), gone)
        answer = self.answering.conclude(served, headers, asked_by, made, scored, at_ns, started)
        if served.durable:
            await served.journal.settled(self.options.timeout_s)
        await self._send(Answer(body=answer, headers=served.headers), headers, asked_by, send)

    async def _predict_in(
        self,
        dialect: Dialect,
        served: Served,
        headers: Headers,
        asked_by: str,
        made: str,
        body: bytes,
        send: Send,
        gone: Callable[[], bool],
    ) -> None:
        """The same in another protocol than the native one: another decoding, another encoding, nothing else."""
        started, at_ns = time.perf_counter(), time.time_ns()
        contract, now_s = served.engine.contract, at_ns / 1e9
        work = partial(score_in, dialect, served.engine, body, headers, now_s)
        if served.gathering is not None:
            scored, encode = await self._gathered(
                served.gathering, partial(dialect.decode, body, headers, contract, now_s), len(body), gone
            )
        else:
            scored, encode = await self._turn(work, len(body), gone)
        ids = item_ids(headers, served.model, made, scored[0].rows)
        answer = encode(scored[1], served.version, ids)
        self.answering.conclude(served, headers, asked_by, made, scored, at_ns, started, said=answer.body)
        if served.durable:
            await served.journal.settled(self.options.timeout_s)
        about = [*served.headers]
        if len(ids) <= MOST_IDS:
            about.append((b"x-flyball-ids", ",".join(ids).encode()))
        if dialect.variant_header is not None:
            about.append((dialect.variant_header, LIVE.encode()))
        await self._send(replace(answer, headers=[*answer.headers, *about]), headers, asked_by, send)

    def answer_directly(self, small: Small, *, close: bool) -> bytes:
        """`_predict` for a small body that is here already: the whole HTTP response."""
        served, headers = small.served, small.fields
        started, at_ns = time.perf_counter(), time.time_ns()
        made = self.arrivals.new_id(at_ns)
        asked_by = request_id(headers, made)
        try:
            scored = score(served, small.body, at_ns / 1e9)
            answer = self.answering.conclude(served, headers, asked_by, made, scored, at_ns, started)
        except Problem as problem:
            return self.refuse_directly(served, headers, problem, small.connection, close=close)
        except Exception as error:  # noqa: BLE001 - the edge, as in __call__
            fault = Problem("internal", _INTERNAL)
            return self.refuse_directly(served, headers, fault, small.connection, close=close, cause=error)
        return response(served, headers, asked_by, answer, close=close, date=small.connection.date())

    def refuse_directly(
        self,
        served: Served,
        headers: Headers,
        problem: Problem,
        connection: Connection,
        *,
        close: bool,
        cause: Exception | None = None,
    ) -> bytes:
        """A refusal as a whole HTTP response."""
        asked_by = request_id(headers, self.arrivals.new_id(time.time_ns()))
        answer = self._refusal(problem, "POST", served.path, served, asked_by, connection.client, cause)
        return whole(answer, headers, asked_by, close=close, date=connection.date())

    def refuse_unread(
        self,
        problem: Problem,
        method: str,
        path: str,
        cause: Exception | None,
        *,
        client: tuple[str, int] | None,
        date: bytes,
    ) -> bytes:
        """The same of what could not be read as a request; method and path are empty where they are not known."""
        asked_by = self.arrivals.new_id(time.time_ns())
        answer = self._refusal(problem, method, path, None, asked_by, client, cause)
        return whole(answer, {}, asked_by, close=True, date=date)

    def left(self, client: tuple[str, int] | None, unread: int) -> None:
        """Tell of a connection that was ended since nobody read its answers, of which `unread` bytes wait."""
        self._log({"event": "slow reader", "caller": client[0] if client else "", "unread_bytes": unread})

    async def _gathered(
        self, gathering: Gathering, decode: Callable[[], tuple[Asked, Encode]], size: int, gone: Callable[[], bool]
    ) -> tuple[tuple[Asked, Prediction], Encode]:
        """`score_in` where the model answers from a process of its own, several requests at a time."""
        asked, encode = await self._turn(decode, size, gone)
        return (asked, await gathering.predict(asked.columns)), encode

    async def _turn(self, work: Callable[[], Result], size: int, gone: Callable[[], bool]) -> Result:
        queue = self.inline if size <= INLINE_BYTES else self._aside
        return await queue.turn(work, size, gone)

    async def _other(
        self, scope: Scope, headers: Headers, asked_by: str, made: str, receive: Receive, send: Send
    ) -> None:
        found = self.table.match(scope["path"])
        if found is None:
            there = ", ".join(f"{route.method} {route.path}" for route in self.table.routes)
            raise Problem("no-such-route", f"there is nothing at this path; there is {there}")
        route = found.routes.get(scope["method"])
        if route is None:
            allow = ", ".join(sorted(found.routes))
            raise Problem("method", f"this route takes {allow}", headers=[(b"allow", allow.encode())])
        held = self._directory.of(found, headers, scope.get("query_string", b""))
        if route.name == "outcomes" and held is not None:
            answer = await self._outcomes(held.deployment.model, headers, made, receive)
        else:
            answer = await page(route.name, self, held, headers)
        await self._send(answer, headers, asked_by, send)

    async def _outcomes(self, model: str, headers: Headers, made: str, receive: Receive) -> Answer:
        self.door.check(headers, "outcomes", model)
        body = await self.bodies.read(headers, receive)
        at_ns = time.time_ns()
        outcomes = decode_outcomes(body, at_ns / 1e9)
        ids = item_ids(headers, f"outcomes of {model}", made, len(outcomes))
        for outcome, outcome_id in zip(outcomes, ids, strict=True):
            outcome["outcome_id"] = outcome_id
        received_at = self.arrivals.stamp(at_ns)
        kept = Kept()
        line = encode_outcomes(model=model, received_at=received_at, outcomes=outcomes)
        fate = self.journals.outcomes.append(line, kept, len(outcomes))
        if fate == "waiting":
            await self.journals.outcomes.settled(self.options.timeout_s)
        if fate == "dropped" or (fate == "waiting" and not kept.written):
            # Unlike an answer, an outcome is worth nothing unless it is kept.
            raise later("journal", "the outcomes could not be written; send them again later", 5)
        self._metrics.outcomes(model, len(outcomes))
        return json_answer({"accepted": len(outcomes), "ids": ids}, status=202)

    async def _send(self, answer: Answer, asked: Headers, asked_by: str, send: Send) -> None:
        await send_answer(send, answer, asked, asked_by, close=self.draining)

    def _named(self, path: str) -> str:
        """The deployed model that a path names."""
        found = self.table.match(path)
        model = found.model if found else None
        return model if model and (model in self.held or model in self.roster.absent) else NO_MODEL

    def _refusal(
        self,
        problem: Problem,
        method: str,
        path: str,
        served: Served | None,
        asked_by: str,
        client: tuple[str, int] | None,
        cause: Exception | None = None,
    ) -> Answer:
        """Count and log a request that gets no answer; what it gets instead."""
        if served is None:
            self._metrics.refused("", "", "", problem.status)
        else:
            self._metrics.refused(served.model, str(served.version), LIVE, problem.status)
        model = served.model if served else self._named(path)
        caller = client[0] if client else ""
        reached = served or self._served.get(model)
        self._refusals.record(problem, reached, model=model, path=path, asked_by=asked_by, caller=caller)
        self._log(
            {
                "event": "refused" if problem.status < 500 else "failed",
                "request_id": asked_by,
                "method": method,
                "path": path[:200],
                "status": problem.status,
                "kind": problem.kind,
                "where": places(problem, reached),
                "cause": origin(cause) if cause else None,
            }
        )
        target = self._directory.predict.get(path)
        dialect = target.dialect if target else spoken_at(path)
        body = problem.body(asked_by, dialect.refuse(problem))
        return Answer(body=body, content_type=CONTENT_TYPE, status=problem.status, headers=problem.headers)


def _here() -> bool:
    """Who did not come by `protocol` cannot be seen going away."""
    return False

"""An application without a server: called as a server would call it, in this process and without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from flyball.serving.app import App
from flyball.serving.cells import Cells
from flyball.serving.journals import open_journals
from flyball.serving.metrics import Metrics
from flyball.serving.options import Options
from flyball.serving.watch import Watch
from flyball.store import Home


@dataclass(slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """Calls an application as a server would."""

    def __init__(self, app: App, watch: Watch, home: Home, log: list[Mapping[str, Any]], executor: Executor) -> None:
        self.app = app
        self.watch = watch
        self.home = home
        self.log = log
        self.executor = executor
        self.runner = asyncio.Runner()

    def look(self) -> None:
        self.watch.look()
        self.app.deployed.switch(self.watch.roster)

    def get(self, path: str, method: str = "GET") -> Reply:
        return self.send(method, path)

    def post(self, path: str, value: Any, **headers: str) -> Reply:
        return self.send("POST", path, value if isinstance(value, bytes) else orjson.dumps(value), headers)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        return self.chunks(method, path, [body], {"content-length": str(len(body)), **(headers or {})})

    def chunks(self, method: str, path: str, parts: list[bytes | None], headers: Mapping[str, str]) -> Reply:
        """A request whose body comes in parts; None: the next part never comes."""
        return self.runner.run(self._chunks(method, path, parts, headers))

    async def _chunks(self, method: str, path: str, parts: list[bytes | None], headers: Mapping[str, str]) -> Reply:
        waiting = list(parts)
        sent: list[dict[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            part = waiting.pop(0)
            while part is None:
                await asyncio.sleep(0)
                self.app.bodies.sweep()
            return {"type": "http.request", "body": part, "more_body": bool(waiting)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path.partition("?")[0],
            "query_string": path.partition("?")[2].encode(),
            "headers": [(k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()],
        }
        shadows = asyncio.create_task(self.app.shadows.run())
        await self.app(scope, receive, send)
        await self.app.shadows.drained()
        shadows.cancel()
        start, *rest = sent
        body = b"".join(message["body"] for message in rest)
        fields = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], fields, body)

    def journal(self, kind: str = "predictions") -> list[dict[str, Any]]:
        """Every line written so far."""
        return [
            orjson.loads(line)
            for path in sorted(self.home.journal.glob(f"{kind}-*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]

    def metric(self, name: str) -> float:
        """The value of one sample, named as it stands in /metrics; 0 where it is absent."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.rpartition(" ")[0] == name:
                return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def applications(home: Home) -> Iterator[Callable[..., Client]]:
    """Starts applications over a home, each with options of its own, and ends them all."""
    started: list[Client] = []
    with ExitStack() as ends:

        def start(**options: Any) -> Client:
            settings = Options(**options)
            log: list[Mapping[str, Any]] = []
            cells = Cells(home.serving / "metrics", len(started))
            journals = open_journals(home, settings)
            executor = ThreadPoolExecutor(1)
            watch = Watch(home, settings.models, lazy=settings.lazy)
            app = App(
                options=settings,
                metrics=Metrics(cells),
                metrics_folder=home.serving / "metrics",
                journals=journals,
                salt=b"salt",
                executor=executor,
                log=log.append,
            )
            app.deployed.switch(watch.start())
            client = Client(app, watch, home, log, executor)
            for end in (client.runner.close, watch.close, cells.close, journals.close, executor.shutdown):
                ends.callback(end)
            started.append(client)
            return client

        yield start

"""A version asked as it will be once it is live: by request bytes, through all of a worker's way, but for the network.

HTTP, protocol, contract, engine, journal (in a folder that is thrown away) and answer are those that workers have. One
connection is kept, and asks one request after the other.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import uvicorn
import uvloop
from uvicorn.server import ServerState

from flyball.engine.session import Engine
from flyball.errors import Unavailable
from flyball.registry.records import Deployment
from flyball.serving.app import App
from flyball.serving.cells import Cells
from flyball.serving.held import Loaded
from flyball.serving.journals import open_journals
from flyball.serving.metrics import Metrics
from flyball.serving.models import Roster
from flyball.serving.options import Options
from flyball.serving.protocol import Protocol
from flyball.store import Home

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_END = b"\r\n\r\n"


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Rehearsal:
    """One engine behind a worker's application. For one thread, in which no event loop runs."""

    def __init__(self, engine: Engine, home: Home, options: Options, columns: Mapping[str, Any]) -> None:
        model = engine.contract.model
        self._cells = Cells(home.serving, 0)
        self._journals = open_journals(home, options)
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        app = App(
            options=options,
            metrics=Metrics(self._cells),
            metrics_folder=home.serving,
            journals=self._journals,
            salt=b"",
            executor=self._aside,
            log=lambda _: None,
        )
        deployment = Deployment(
            model=model,
            generation=1,
            live=1,
            bundles={},
            shadow=(),
            columns=columns,
            at=datetime.fromtimestamp(0, UTC),
        )
        app.deployed.switch(Roster(generation=1, models={model: Loaded(deployment=deployment, engines={1: engine})}))
        self._path = f"/models/{model}/predict".encode()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._line = _Line()
        loop = self._runner.get_loop()
        config = uvicorn.Config(app, http=Protocol, ws="none", lifespan="off", access_log=False, log_config=None)
        self._protocol = Protocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        loop.call_soon(self._protocol.connection_made, self._line)

    def ask(self, body: bytes) -> Reply:
        """The answer to one predict request in the native protocol, whatever its status."""
        return self._runner.run(self._ask(self._request(body)))

    def seconds_of(self, body: bytes, times: int) -> list[float]:
        """Of each of so many requests one after the other, from its last byte's coming to its answer's last byte's going.

        Raises Unavailable where one of them is not answered with 200.
        """
        return self._runner.run(self._seconds_of(self._request(body), times))

    def close(self) -> None:
        self._runner.get_loop().call_soon(self._protocol.connection_lost, None)
        self._runner.close()
        self._aside.shutdown()
        self._journals.close()
        self._cells.close()

    def _request(self, body: bytes) -> bytes:
        return b"POST %b HTTP/1.1\r\nhost: rehearsal\r\ncontent-length: %d\r\n\r\n%b" % (self._path, len(body), body)

    async def _ask(self, request: bytes) -> Reply:
        answer = self._line.expect()
        self._protocol.data_received(request)
        await answer
        return self._line.reply()

    async def _seconds_of(self, request: bytes, times: int) -> list[float]:
        spent = []
        for _ in range(times):
            answer = self._line.expect()
            began = time.perf_counter()
            self._protocol.data_received(request)
            await answer
            spent.append(self._line.ended - began)
            reply = self._line.reply()
            if reply.status != 200:
                said = reply.body[:300].decode(errors="replace")
                raise Unavailable(f"a one-row request of the contract's example was answered {reply.status}: {said}")
        return spent


@contextmanager
def rehearsed(
    engine: Engine,
    *,
    options: Options | None = None,
    columns: Mapping[str, Any] | None = None,
    beside: Path | None = None,
) -> Iterator[Rehearsal]:
    """While the block runs, `engine` can be asked. `options`, `columns`: as its workers will have them; tokens are not asked.

    `beside`: a folder on whose disk the journal is to be; None: that of temporary files.
    """
    told = replace(options or Options(), auth=(), public=False, models=(), lazy=())
    with TemporaryDirectory(prefix=".rehearsal-", dir=beside) as folder:
        rehearsal = Rehearsal(engine, Home(Path(folder)).made(), told, columns or {})
        try:
            yield rehearsal
        finally:
            rehearsal.close()


class _Line(asyncio.Transport):
    """The other end of the connection: takes what is written until it is one whole response."""

    def __init__(self) -> None:
        super().__init__()
        self._content = bytearray()
        self._whole = 0
        self._answer: asyncio.Future[None] | None = None
        #: when the last byte of the last answer was written (`time.perf_counter`).
        self.ended = 0.0

    def expect(self) -> asyncio.Future[None]:
        """Done when the next response is here."""
        self._content.clear()
        self._whole = 0
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def reply(self) -> Reply:
        head, _, body = bytes(self._content).partition(_END)
        return Reply(int(head.split(b" ", 2)[1]), body)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._content += data
        if not self._whole:
            end = self._content.find(_END)
            if end < 0:
                return
            found = _LENGTH.search(self._content, 0, end + len(_END))
            self._whole = end + len(_END) + (int(found[1]) if found else 0)
        if len(self._content) >= self._whole and self._answer is not None and not self._answer.done():
            self.ended = time.perf_counter()
            self._answer.set_result(None)

    def is_closing(self) -> Literal[False]:
        return False

    def get_write_buffer_size(self) -> Literal[0]:
        return 0

    def pause_reading(self) -> None:
        """All of a request is there already."""

    def resume_reading(self) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

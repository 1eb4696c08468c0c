"""An open load: requests come at a rate, whatever becomes of those before, and each client leaves after a while.

`python -m benchmarks.serving.crowd URL BODY_FILE RATE SECONDS PATIENCE_S` writes one JSON object on stderr, the fields of
`overload.Crowd`. A client that was answered or refused asks again on its connection; one that left has closed it. Making
a connection is part of a client's time. Answers that come after the last request was sent are counted apart: as many would
have come with nothing else to do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import orjson
import uvloop

#: clients are sent off so often; those that are due go together.
_BEAT_S = 0.002


class Client(asyncio.Protocol):
    """One connection, with one request under way at most."""

    def __init__(self, crowd: Crowding) -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self in self._crowd.idle:
            self._crowd.idle.remove(self)
        if self._leaving is not None:
            self._done("broken")

    def ask(self, content: bytes, patience_s: float) -> None:
        assert self._transport is not None  # asked only once connected
        self._leaving = asyncio.get_running_loop().call_later(patience_s, self._leave)
        self._transport.write(content)

    def on_message_complete(self) -> None:
        status, stays = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        if self._leaving is not None:
            good = "after" if self._crowd.over else "good"
            self._done(good if status == 200 else "refused" if status == 503 else "broken")
        if stays:
            self._crowd.idle.append(self)

    def _leave(self) -> None:
        self._done("left")
        assert self._transport is not None
        self._transport.abort()

    def _done(self, what: str) -> None:
        assert self._leaving is not None
        self._leaving.cancel()
        self._leaving = None
        self._crowd.counts[what] += 1


class Crowding:
    """What all clients count together, and the connections that are free."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("asked", "good", "after", "refused", "left", "broken"), 0)
        self.idle: list[Client] = []
        #: no more requests are sent.
        self.over = False


async def run(url: str, body: bytes, rate: float, seconds: float, patience_s: float) -> dict[str, float]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    content, crowd, loop = head.encode() + body, Crowding(), asyncio.get_running_loop()
    began = time.perf_counter()
    connecting: set[asyncio.Task[None]] = set()

    async def come() -> None:
        leaves_at = loop.time() + patience_s
        try:
            async with asyncio.timeout_at(leaves_at):
                _, client = await loop.create_connection(lambda: Client(crowd), host, port)
        except TimeoutError:
            crowd.counts["left"] += 1
        except OSError:
            crowd.counts["broken"] += 1
        else:
            client.ask(content, leaves_at - loop.time())

    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(int(passed * rate) - crowd.counts["asked"]):
            crowd.counts["asked"] += 1
            if crowd.idle:
                crowd.idle.pop().ask(content, patience_s)
            else:
                task = asyncio.create_task(come())
                connecting.add(task)
                task.add_done_callback(connecting.discard)
        await asyncio.sleep(_BEAT_S)
    crowd.over = True
    # Who came last has the same time as all others.
    await asyncio.sleep(patience_s + 0.1)
    return {**crowd.counts, "seconds": seconds}


if __name__ == "__main__":
    _url, _body, _rate, _seconds, _patience = sys.argv[1:]
    figures = uvloop.run(run(_url, Path(_body).read_bytes(), float(_rate), float(_seconds), float(_patience)))
    sys.stderr.write(orjson.dumps(figures).decode())

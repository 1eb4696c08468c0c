"""A load generator for machines without wrk: `python -m benchmarks.serving.generator URL BODY_FILE CONNECTIONS SECONDS`.

Writes one JSON object on stderr, the fields of `load.Load`. On one core it asks for about 40,000 answers a second,
more than the servers measured give.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import orjson
import uvloop


class Round:
    """What all connections of one round count together."""

    def __init__(self) -> None:
        self.latencies_ms = array("d")
        self.failed = 0
        self.over = False


class Client(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again."""

    def __init__(self, content: bytes, counted: Round) -> None:
        self._content = content
        self._round = counted
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._round.over:
            self._round.failed += 1

    def on_message_complete(self) -> None:
        counted = self._round
        if counted.over:
            return
        counted.latencies_ms.append((time.perf_counter() - self._asked_at) * 1000)
        if not 200 <= self._parser.get_status_code() < 300:
            counted.failed += 1
        self._parser = httptools.HttpResponseParser(self)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None  # asked only once connected
        self._asked_at = time.perf_counter()
        self._transport.write(self._content)


async def run(url: str, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    """The round's figures. A connection that breaks counts as one failure and is not opened again."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    content = head.encode() + body
    counted, loop = Round(), asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(content, counted), parts.hostname, parts.port)
    await asyncio.sleep(seconds)
    counted.over = True
    latencies = sorted(counted.latencies_ms)
    return {
        "answers": len(latencies),
        "seconds": time.perf_counter() - began,
        "p50_ms": _percentile(latencies, 0.50),
        "p99_ms": _percentile(latencies, 0.99),
        "failed": counted.failed,
    }


def _percentile(ascending: list[float], share: float) -> float:
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)] if ascending else 0.0


if __name__ == "__main__":
    _url, _body, _connections, _seconds = sys.argv[1:]
    figures = uvloop.run(run(_url, Path(_body).read_bytes(), int(_connections), float(_seconds)))
    sys.stderr.write(orjson.dumps(figures).decode())

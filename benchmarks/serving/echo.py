"""The reference: bare ASGI on uvicorn (uvloop, httptools) that parses a body and answers a constant.

`python benchmarks/serving/echo.py PORT FILE`: the content of FILE is the answer.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import uvicorn

Send = Callable[[dict[str, Any]], Awaitable[None]]


def application(answer: bytes) -> Any:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": answer}

    async def echo(scope: Any, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
        del scope
        message = await receive()
        parts = [message["body"]]
        while message.get("more_body"):
            message = await receive()
            parts.append(message["body"])
        orjson.loads(b"".join(parts))
        await send(start)
        await send(body)

    return echo


if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[2]).read_bytes()),
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        interface="asgi3",
        access_log=False,
        log_level="error",
        lifespan="off",
    )

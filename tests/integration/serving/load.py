"""Clients that ask one server without pause, and what they were told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import orjson

ROW = {"hour": 18.0, "distance": 760.5}
BODY = orjson.dumps({"inputs": [ROW]})

Thread = TypeVar("Thread", bound=threading.Thread)


class Asking(threading.Thread):
    """One client that asks until told to stop; where a connection breaks, it opens another."""

    def __init__(self, port: int, stop: threading.Event, *, keeps: int | None) -> None:
        """`keeps`: so many answers it takes from one connection; None: as many as come."""
        super().__init__()
        self.port, self.stop, self.keeps = port, stop, keeps
        #: answers of status 200, each with the `generation` that its header tells.
        self.answers: list[dict[str, Any]] = []
        #: status and body of all other answers; what broke the connections that gave none.
        self.refused: list[tuple[int, bytes]] = []
        self.broken: list[str] = []

    @property
    def ids(self) -> list[str]:
        return [identity for answer in list(self.answers) for identity in answer["ids"]]

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stop.is_set():
            try:
                connection.request("POST", "/models/delay/predict", BODY)
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(repr(error))
                connection.close()
                continue
            if reply.status != 200:
                self.refused.append((reply.status, body))
                continue
            self.answers.append({**orjson.loads(body), "generation": int(reply.headers["x-flyball-generation"])})
            if self.keeps is not None and len(self.answers) % self.keeps == 0:
                connection.close()
        connection.close()


def asked(port: int, clients: int, *, keeps: int | None = None) -> AbstractContextManager[list[Asking]]:
    """So many clients until the block ends. `keeps`: see `Asking`; with some, a new worker gets its share."""
    return together(clients, lambda _, stop: Asking(port, stop, keeps=keeps))


@contextmanager
def together(count: int, client: Callable[[int, threading.Event], Thread]) -> Iterator[list[Thread]]:
    """Clients, made from their number and the event that ends them, which run until the block ends."""
    stop = threading.Event()
    loads = [client(number, stop) for number in range(count)]
    for load in loads:
        load.start()
    try:
        yield loads
    finally:
        stop.set()
        for load in loads:
            load.join()


def answered(loads: list[Asking]) -> int:
    """How many requests have been answered with 200."""
    return sum(len(load.answers) for load in loads)

"""A listener on loopback that says, byte by byte, what it is told to say."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Listener:
    """Raw answers, the last of them for ever; bodies and heads that came. An empty answer: it hangs up."""

    url: str
    answers: list[bytes]
    got: list[dict[str, Any]] = field(default_factory=list)
    #: names in lower case.
    heads: list[dict[str, str]] = field(default_factory=list)
    #: done when a body has come, before it is answered.
    before_answer: Callable[[], None] = lambda: None
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, timeout_s: float = 30) -> None:
        """Until so many have come."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.got) >= count, timeout_s), f"{len(self.got)} of {count} came"


@contextmanager
def listening(*answers: bytes) -> Iterator[Listener]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        found = Listener(f"http://127.0.0.1:{server.getsockname()[1]}/secret", list(answers))

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        _hear(found, connection)
                    except OSError:
                        pass  # it has gone meanwhile

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a listener that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/secret"


def _hear(found: Listener, connection: socket.socket) -> None:
    with connection.makefile("rb") as read:
        head = {}
        while (line := read.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            head[name.lower()] = value.strip()
        if "content-length" not in head:
            return
        body = json.loads(read.read(int(head["content-length"])))
        with found.came:
            found.got.append(body)
            found.heads.append(head)
            found.came.notify_all()
        found.before_answer()
        connection.sendall(found.answers.pop(0) if len(found.answers) > 1 else found.answers[0])

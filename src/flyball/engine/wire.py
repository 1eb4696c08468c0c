"""What a worker and its native-model process say to each other over a socket: blocks of numbers, text as JSON, no pickle.

A request is a head, the float32 numbers row by row, and the categories as one JSON list. An answer is a head and a
payload: float32 values row by row, or, where something failed, a sentence.
"""

from __future__ import annotations

import socket
import struct
import time
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import orjson

from flyball.engine.contract import Contract, Table

#: rows, bytes of the numbers, bytes of the categories.
REQUEST = struct.Struct("<IQQ")
#: kind, bytes of the payload.
ANSWER = struct.Struct("<BQ")


class Kind(IntEnum):
    """What an answer's payload is."""

    #: nothing: the model is loaded.
    READY = 1
    #: values.
    VALUES = 2
    #: why the model could not answer, or could not be loaded.
    FAILED = 3


def send_request(connection: socket.socket, table: Table) -> None:
    texts = orjson.dumps(table.categories.ravel().tolist()) if table.layout.categories else b""
    numbers = np.ascontiguousarray(table.numbers, dtype="<f4")
    connection.sendall(REQUEST.pack(table.rows, numbers.nbytes, len(texts)))
    connection.sendall(numbers.data.cast("B") if numbers.size else b"")
    connection.sendall(texts)


def receive_request(connection: socket.socket, contract: Contract) -> Table:
    """The next request. Raises EOFError when nobody will ask again."""
    layout = contract.layout
    rows, number_bytes, text_bytes = REQUEST.unpack(_exactly(connection, REQUEST.size, None))
    numbers = np.frombuffer(_exactly(connection, number_bytes, None), dtype="<f4")
    texts = orjson.loads(_exactly(connection, text_bytes, None)) if text_bytes else []
    categories = np.empty(len(texts), dtype=np.object_)
    categories[:] = texts
    return Table(
        layout,
        numbers.reshape(rows, len(layout.numbers)).astype(np.float32, copy=False),
        categories.reshape(rows, len(layout.categories)),
    )


def send_answer(connection: socket.socket, kind: Kind, payload: bytes | memoryview = b"") -> None:
    view = memoryview(payload).cast("B")
    connection.sendall(ANSWER.pack(kind, view.nbytes))
    connection.sendall(view)


def receive_answer(connection: socket.socket, timeout_s: float | None) -> tuple[Kind, bytearray]:
    """The answer. Raises TimeoutError, or EOFError when the process has ended."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    kind, length = ANSWER.unpack(_exactly(connection, ANSWER.size, until))
    return Kind(kind), _exactly(connection, length, until)


def values(payload: bytearray, rows: int, width: int) -> npt.NDArray[np.float32]:
    """The payload of `Kind.VALUES` as float32 of shape (rows, width)."""
    return np.frombuffer(payload, dtype="<f4").reshape(rows, width).astype(np.float32, copy=False)


def _exactly(connection: socket.socket, count: int, until: float | None) -> bytearray:
    content = bytearray(count)
    view = memoryview(content)
    while view:
        # A timeout of 0 would mean "do not wait", and fail otherwise.
        connection.settimeout(None if until is None else max(until - time.monotonic(), 0.001))
        received = connection.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return content

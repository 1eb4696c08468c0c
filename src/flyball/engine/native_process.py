"""One native model in a process of its own: `python -P -m flyball.engine.native_process --bundle DIR --fd N`.

Started by `engine.native`, which has verified the bundle. Loads the model, says so, answers tables until nobody asks
any more, writes nothing. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pickle
import platform
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.engine.bundle import PICKLE, read_contract
from flyball.engine.check import columns_from_records
from flyball.engine.contract import Contract, Table
from flyball.engine.fitted import answers
from flyball.engine.native import TOLERANCE, read_native
from flyball.engine.parts import parts_of
from flyball.engine.rebuild import Column, rebuilt
from flyball.engine.session import as_table, first_line
from flyball.engine.wire import Kind, receive_request, send_answer
from flyball.errors import Corrupt

PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> None:
    """Answer until the other end is closed."""
    parser = argparse.ArgumentParser(prog="python -m flyball.engine.native_process", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    given = parser.parse_args(argv)
    _end_with(given.parent)
    os.dup2(2, 1)  # what a model prints is nobody's answer
    connection = socket.socket(fileno=given.fd)
    try:
        model = Model(given.bundle)
    except Exception as error:  # noqa: BLE001  # the edge of a user's code: whatever it was is told
        traceback.print_exception(error)
        send_answer(connection, Kind.FAILED, _said(error))
        return
    send_answer(connection, Kind.READY)
    _serve(connection, model)


class Model:
    """A bundle's model, loaded and found to answer as it did when it was bundled."""

    def __init__(self, folder: Path) -> None:
        about = read_native(folder)
        _require_python(about)
        self.contract: Contract = read_contract(folder)
        self._columns = tuple(Column.from_json(item) for item in about["columns"])
        with (folder / PICKLE).open("rb") as file:
            self._fitted = pickle.load(file)  # noqa: S301  # digest checked by who started us; the reason we are apart
        for part in parts_of(self._fitted):
            if hasattr(part, "n_jobs"):
                part.n_jobs = 1  # threads of its own cost a small call a multiple of its time
        example = as_table(self.contract.layout, columns_from_records(self.contract, [dict(self.contract.example)]))
        expected, got = np.asarray(about["answer"]), self.answer(example).ravel()
        if not np.allclose(expected, got, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
            raise Corrupt(
                f"the model answers its example row with {got}, in training with {expected}; it needs {packages}"
            )

    def answer(self, table: Table) -> npt.NDArray[np.float32]:
        """float32 of shape (rows, classes), or (rows, 1)."""
        frame = rebuilt(self.contract, self._columns, table)
        return answers(self._fitted, self.contract, frame).astype("<f4")


def _serve(connection: socket.socket, model: Model) -> None:
    known: set[str] = set()
    while True:
        try:
            table = receive_request(connection, model.contract)
        except (EOFError, ConnectionError):
            return
        try:
            payload = np.ascontiguousarray(model.answer(table)).data.cast("B")
        except Exception as error:  # noqa: BLE001  # the edge of a user's code
            name = type(error).__name__
            if name not in known:  # where it came from, once; never its text, which may hold values
                known.add(name)
                traceback.print_tb(error.__traceback__)
            send_answer(connection, Kind.FAILED, name.encode())
        else:
            send_answer(connection, Kind.VALUES, payload)


def _require_python(about: Mapping[str, Any]) -> None:
    made, here = about["python_version"].split("."), platform.python_version().split(".")
    if made[:2] != here[:2]:
        raise Corrupt(
            f"the model was pickled by Python {'.'.join(made)}, this is {'.'.join(here)}; train it again here"
        )


def _said(error: Exception) -> bytes:
    return f"{type(error).__name__}: {first_line(error)}".encode()


def _end_with(parent: int) -> None:
    """Die when the process that started us does, even by SIGKILL, even in the middle of a call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we had asked
            os._exit(1)
    threading.Thread(target=_die_at_end_of_input, daemon=True).start()


def _die_at_end_of_input() -> None:
    while os.read(0, 1):  # nobody writes: this returns when the writer is gone
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])

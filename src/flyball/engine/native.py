"""A version that no graph can stand for answers from a process of its own: the side of whoever asks.

One process for each engine, started again when it dies or hangs. Imports neither pandas nor scikit-learn, and unpickles
nothing: that is done over there (`engine.native_process`).
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.engine.bundle import NATIVE, PICKLE, verify_bundle
from flyball.engine.contract import Contract, Table, rows_of
from flyball.engine.session import Engine
from flyball.engine.wire import Kind, receive_answer, send_request, values
from flyball.errors import Corrupt, FlyballError, Unavailable
from flyball.store.files import read_json

#: of `native.json`.
FORMAT = 1
#: how far the answer to the example row may be from the one it was bundled with.
TOLERANCE = 1e-5

#: how long a process may take to import its libraries and load its model.
START_TIMEOUT_S = 120.0
#: waits before the restarts of a process that keeps dying young; the last one for every further restart.
BACKOFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
#: a process that lived this long did not die young.
YOUNG_S = 10.0
#: rows of one call; more are asked for in parts.
PART_ROWS = 10_000


_log = logging.getLogger(__name__)


class ModelAway(Unavailable):
    """The model's process has died and is being started again."""


class ModelTooSlow(Unavailable):
    """The model did not answer in time; its process was killed, and is being started again."""


class ModelFailed(FlyballError):
    """The model raised an error instead of answering; its process lives on."""


def read_native(folder: Path) -> Mapping[str, Any]:
    """What `native.json` says. Raises `Corrupt`."""
    path = folder / NATIVE
    try:
        about: Mapping[str, Any] = read_json(path)
        if about["format"] != FORMAT or about["loader"] != "pickle":
            raise Corrupt(f"{path}: format {about['format']!r}, loader {about['loader']!r}; upgrade flyball")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{path}: cannot be read ({type(error).__name__}); register the version again") from error
    return about


class NativeEngine(Engine):
    """A native version that answers. Safe to use from several threads; its calls go one after another."""

    def __init__(self, contract: Contract, folder: Path, digest: str | None) -> None:
        """Starts the process and waits until it has loaded the model. Raises `Corrupt`, with the reason, if it cannot."""
        process = NativeProcess(folder, digest, width=max(len(contract.classes), 1))
        super().__init__(contract, process)
        self.process = process
        #: ends the process; called with the last reference to the engine, or at this process's end.
        self.close = weakref.finalize(self, process.close)
        process.begin()

    def run(self, table: Table) -> npt.NDArray[np.float32]:
        """As `Engine.run`. Raises `ModelAway`, `ModelTooSlow`, `ModelFailed`."""
        if 0 < table.rows <= PART_ROWS:
            return self.process.ask(table)
        nothing = np.empty((0, max(len(self.contract.classes), 1)), dtype=np.float32)  # many a model refuses no rows
        starts = range(0, table.rows, PART_ROWS)
        parts = (self.process.ask(rows_of(table, start, start + PART_ROWS)) for start in starts)
        return np.concatenate([nothing, *parts])


class NativeProcess:
    """A bundle's `native_process`, kept running by a thread of its own until it is closed."""

    def __init__(self, folder: Path, digest: str | None, *, width: int) -> None:
        self._folder = folder
        self._digest = digest
        self._width = width
        #: an answer that takes longer is given up; None: never.
        self.timeout_s: float | None = None
        self._calls = threading.Lock()
        self._closed = threading.Event()
        #: set when the first start has succeeded or failed.
        self._begun = threading.Event()
        self._refusal: FlyballError | None = None
        self._life: _Life | None = None

    def get_inputs(self) -> Sequence[Any]:
        """What an ONNX session says of its inputs: none here, tables are asked for whole."""
        return ()

    @property
    def pid(self) -> int | None:
        """Of the process that may be asked now."""
        life = self._life
        return life.process.pid if life else None

    def begin(self) -> None:
        """Start it; returns when its model is loaded. Raises `Corrupt` or `Unavailable` where it cannot be."""
        threading.Thread(target=self._keep, name="native model", daemon=True).start()
        self._begun.wait()
        if self._refusal is not None:
            raise self._refusal

    def ask(self, table: Table) -> npt.NDArray[np.float32]:
        """The answer: float32 of shape (rows, width). Raises `ModelAway`, `ModelTooSlow`, `ModelFailed`."""
        with self._calls:
            life = self._life
            if life is None:
                raise ModelAway(f"{self._folder}: its process is being started again; ask again in a moment")
            try:
                kind, payload = life.ask(table, self.timeout_s)
            except TimeoutError as error:
                self._end(life)
                raise ModelTooSlow(
                    f"{self._folder}: no answer within {self.timeout_s:g} s; ask for fewer rows"
                ) from error
            except (OSError, EOFError) as error:
                self._end(life)
                raise ModelAway(f"{self._folder}: its process has died and is started again") from error
        if kind is not Kind.VALUES:
            raise ModelFailed(f"{self._folder}: the model raised {payload.decode()}")
        return values(payload, table.rows, self._width)

    def close(self) -> None:
        """End it for good."""
        self._closed.set()
        life = self._life
        if life is not None:
            self._end(life)
            life.process.wait()

    def _end(self, life: _Life) -> None:
        self._life = None
        life.process.kill()  # it writes nothing, so nothing is lost

    def _keep(self) -> None:
        """Start the process, wait for its death, start it again. Its own death signal follows this thread's."""
        deaths = 0
        while not self._closed.is_set():
            began, why = time.monotonic(), "it has ended"
            try:
                self._live()
            except Exception as error:  # noqa: BLE001  # the thread's edge: whoever waits for it is told
                self._refuse(error)
                why = str(error) or type(error).__name__
            deaths = deaths + 1 if time.monotonic() - began < YOUNG_S else 0
            wait_s = BACKOFF_S[min(max(deaths - 1, 0), len(BACKOFF_S) - 1)]
            if not self._closed.wait(wait_s):
                _log.warning("%s: its process is started again: %s", self._folder, why)

    def _live(self) -> None:
        """One process from its start to its death. Raises what keeps it from loading its model."""
        verify_bundle(self._folder, self._digest)
        life = _Life(self._folder)
        try:
            kind, said = life.hear(START_TIMEOUT_S)
            if kind is not Kind.READY:
                raise Corrupt(f"{self._folder / PICKLE} cannot be loaded: {said.decode(errors='replace')}")
            self._life = life
            self._begun.set()
            if not self._closed.is_set():
                life.process.wait()
        finally:
            self._life = None
            life.stop()
            with self._calls:  # whoever was asking has heard of it
                life.close()

    def _refuse(self, error: Exception) -> None:
        """What kept the first process from loading its model is told to `begin`, and is not tried again."""
        if not self._begun.is_set():
            late = isinstance(error, TimeoutError)
            what = (
                f"its process took more than {START_TIMEOUT_S:g} s"
                if late
                else "its process ended before its model was loaded"
            )
            words = f"{self._folder}: {what}; its last words are in the log"
            self._refusal = error if isinstance(error, FlyballError) else Unavailable(words)
            self._closed.set()
            self._begun.set()


class _Life:
    """One process, from its start to its end."""

    def __init__(self, folder: Path) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  # the interpreter the model was made with, no shell
                [
                    *(_python(folder), "-P", "-m", "flyball.engine.native_process", "--bundle", str(folder)),
                    *("--fd", str(theirs.fileno()), "--parent", str(os.getpid())),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                env={**os.environ, **dict.fromkeys(_THREADS, "1")},
                bufsize=0,
            )

    def ask(self, table: Table, timeout_s: float | None) -> tuple[Kind, bytearray]:
        self._connection.settimeout(timeout_s)
        send_request(self._connection, table)
        return self.hear(timeout_s)

    def hear(self, timeout_s: float | None) -> tuple[Kind, bytearray]:
        return receive_answer(self._connection, timeout_s)

    def stop(self) -> None:
        """End the process, and the waiting of whoever asks it."""
        self.process.kill()
        self.process.wait()
        with suppress(OSError):  # the other end may be closed already
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()
        assert self.process.stdin is not None
        self.process.stdin.close()


#: one thread: workers and their models are the parallelism, and share the cores.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _python(folder: Path) -> str:
    """The interpreter the model was made with; ours where that is not on this machine."""
    made_with = str(read_native(folder)["python"])
    return made_with if os.access(made_with, os.X_OK) else sys.executable

"""The template's process as its parent holds it: started, told, heard, ended. What is said is `template`'s matter."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

#: how long a template may take to end after its input has ended.
END_TIMEOUT_S = 10.0
#: and one that is still importing, which looks at its input only afterwards: whoever pressed Ctrl-C waits for this.
IMPORT_TIMEOUT_S = 0.2


class TemplateProcess:
    """A running `flyball.pipeline.template`, with a line of JSON for each command and each event."""

    def __init__(
        self, *, directory: Path, module: str, python: str, preload: tuple[str, ...], log: Path | None
    ) -> None:
        setup = {"directory": str(directory), "module": module, "preload": list(preload)}
        with tempfile.TemporaryFile() if log is None else log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603  # the user's own interpreter, no shell
                # -P: the project's directory must not hide the standard library from the template itself.
                [python, "-P", "-m", "flyball.pipeline.template", orjson.dumps(setup).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent, which then ends its steps in order
                bufsize=0,
            )
        self._rest = b""
        #: whether it has said anything; until it has, it imports, and has started no step.
        self._heard = False
        self._events: deque[dict[str, Any]] = deque()

    def send(self, command: dict[str, Any]) -> None:
        """Say one thing. If the template has died, nothing happens here: `receive` will tell."""
        assert self._process.stdin is not None
        unsent = memoryview(orjson.dumps(command) + b"\n")
        try:
            while unsent:
                unsent = unsent[os.write(self._process.stdin.fileno(), unsent) :]
        except BrokenPipeError:
            pass

    def receive(self, timeout_s: float | None) -> dict[str, Any] | None:
        """The next event; None if there is none in time. Raises EOFError when the template has ended."""
        assert self._process.stdout is not None
        until = None if timeout_s is None else time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        while not self._events:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not poll.poll(None if left is None else left * 1000):
                return None
            received = os.read(self._process.stdout.fileno(), 65_536)
            if not received:
                raise EOFError
            self._heard = True
            *lines, self._rest = (self._rest + received).split(b"\n")
            self._events.extend(orjson.loads(line) for line in lines)
        return self._events.popleft()

    def close(self) -> int:
        """End the template, and with it its children; its exit status, negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S if self._heard else IMPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Its session is its own: what a project's import has started goes with it.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.stdout.close()
        return self._process.wait()


def _environment() -> dict[str, str]:
    """Ours, with text order made repeatable and, on macOS, system libraries told that forking here is meant."""
    # Threads that spin while they wait take the core from those that work: beside a busy server a fit took 4 times as long.
    environment = {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    if sys.platform == "darwin":
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    return environment

"""A pipe between a supervisor and its children: when the supervisor is gone, even by SIGKILL, the pipe closes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

#: environment variable that holds the reading end's file descriptor.
VARIABLE = "FLYBALL_PARENT_FD"


def watch_parent(gone: Callable[[], None], environ: Mapping[str, str]) -> None:
    """Call `gone`, on a thread of its own, once the supervisor that started this process is no more.

    Does nothing in a process that was not started by a supervisor.
    """
    if VARIABLE not in environ:
        return
    fd = int(environ[VARIABLE])
    os.set_inheritable(fd, False)
    threading.Thread(target=_wait, args=(fd, gone), name="parent", daemon=True).start()


def _wait(fd: int, gone: Callable[[], None]) -> None:
    while os.read(fd, 1):  # nobody writes: this returns when the last writer is gone
        pass
    gone()

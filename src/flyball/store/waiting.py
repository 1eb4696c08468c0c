"""Waiting for something that is away for a while, such as a database's server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flyball.errors import Unavailable

if TYPE_CHECKING:
    import threading

Found = TypeVar("Found")

AGAIN_S = 1.0


def when_there(
    ask: Callable[[], Found], stop: threading.Event, say: Callable[[str], object] = lambda _: None
) -> Found | None:
    """What `ask` answers, asked again while it raises Unavailable, which is said once; None: told to stop."""
    told = False
    while not stop.is_set():
        try:
            return ask()
        except Unavailable as error:
            if not told:
                say(f"{error}; waiting for it")
            told = True
            stop.wait(AGAIN_S)
    return None

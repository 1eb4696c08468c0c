"""Being told to end, in processes whose main thread waits on an event."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def told_to_end(act: Callable[[], object], *, insist: bool = False) -> Iterator[None]:
    """Inside the block SIGINT and SIGTERM have `act` called, by a thread of its own. `insist`: a second one ends at once.

    A handler runs in the main thread wherever that happens to be. If that is inside `Event.wait`, which holds the event's
    lock for a moment, `Event.set` would wait for ever; `SimpleQueue.put` is made to be called there.
    """
    heard: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def end(number: int, _: Any) -> None:
        heard.put(True)
        if insist:
            signal.signal(number, signal.SIG_DFL)

    def listen() -> None:
        while heard.get():
            act()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        heard.put(False)
        listener.join()

"""The loop's own sign of life: an address that is asked for while it beats. Its silence is somebody else's alarm."""

from __future__ import annotations

import os
import threading

from flyball.loop.channels.request import Away, HttpRequest, Rejected
from flyball.loop.channels.sending import send
from flyball.store import utcnow

#: at most this often.
EVERY_S = 60.0


def due(last_s: float | None, now_s: float) -> bool:
    """Whether it is time, by a clock that only goes forward; `last_s` None: never yet."""
    return last_s is None or now_s - last_s >= EVERY_S


def ping(variable: str) -> threading.Thread:
    """POST to the address in `variable`, in a thread of its own: no beat waits for it, and no failure is told.

    Whoever listens there will say that nothing came.
    """

    def work() -> None:
        try:
            send(HttpRequest(url=os.environ.get(variable, "").strip(), body=b"{}"), now=utcnow())
        except (Away, Rejected):
            pass  # see above

    thread = threading.Thread(target=work, name="heartbeat", daemon=True)
    thread.start()
    return thread

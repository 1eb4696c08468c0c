"""Loads what is asked for the first time: each model on a thread of its own, once, whoever else asks meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from flyball.serving.held import LOG, Held, Lazy
from flyball.serving.problem import later

if TYPE_CHECKING:
    from flyball.serving.held import Lack

#: when a model that is not there is worth asking for again, seconds.
_AGAIN_S = 5


class Waking:
    """What one worker is loading now. Everything here runs on its event loop, but for the loading itself."""

    def __init__(self, *, ended: Callable[[Lazy], None], tell: Callable[[Lack], str]) -> None:
        """`ended` is called when a model has been loaded, or has failed to be, before those who wait for it go on.
        `tell` says what a client may know of a failure.
        """
        self._ended = ended
        self._tell = tell
        self._under_way: dict[Lazy, asyncio.Future[None]] = {}

    async def wake(self, held: Held, timeout_s: float) -> None:
        """Wait until it is in memory. Raises `Problem` (503); who has waited for too long leaves the loading be."""
        assert isinstance(held, Lazy)  # else it would be served
        model = held.deployment.model
        try:
            if not held.rests:
                await asyncio.wait_for(asyncio.shield(self.begin(held)), timeout_s)
        except TimeoutError:
            raise later("not-loaded", f"{model} is still being loaded; ask again in a moment", _AGAIN_S) from None
        if held.loaded is None:
            why = self._tell(held.lacks[0]) if held.lacks else f"{model} cannot be loaded; {LOG}"
            raise later("not-loaded", why, _AGAIN_S)

    def begin(self, lazy: Lazy) -> asyncio.Future[None]:
        """Load it, unless that has begun; done when it is loaded or has failed to."""
        done = self._under_way.get(lazy)
        if done is None:
            loop = asyncio.get_running_loop()
            done = self._under_way[lazy] = loop.create_future()
            # A thread each: a native model takes seconds to start, and is not to hold up another. A daemon: nor the end.
            threading.Thread(target=self._load, args=(lazy, loop), name="load", daemon=True).start()
        return done

    def _load(self, lazy: Lazy, loop: asyncio.AbstractEventLoop) -> None:
        try:
            lazy.wake()
        finally:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._end, lazy)

    def _end(self, lazy: Lazy) -> None:
        done = self._under_way.pop(lazy)
        self._ended(lazy)
        done.set_result(None)

"""What a worker answers with now: the deployed models, replaced all at once between two requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.serving.access import Door, by_digest
from flyball.serving.directory import Directory
from flyball.serving.held import Held, Lazy
from flyball.serving.models import Roster
from flyball.serving.protocols.dialects import NATIVE
from flyball.serving.readiness import said
from flyball.serving.served import Served
from flyball.serving.waking import Waking

if TYPE_CHECKING:
    from flyball.serving.held import Loaded
    from flyball.serving.journals import Journals
    from flyball.serving.loglines import Log
    from flyball.serving.metrics import Metrics
    from flyball.serving.options import Options
    from flyball.serving.protocol import Head
    from flyball.serving.requests import Arrival
    from flyball.serving.routes import Table


class Deployed:
    """One worker's models. Everything here runs on its event loop."""

    def __init__(
        self, *, table: Table, options: Options, metrics: Metrics, journals: Journals, salt: bytes, log: Log
    ) -> None:
        self.roster = Roster()
        #: every deployed model that can be asked; of them, as they were made into `served`, those in memory; and these.
        self.held: dict[str, Held] = {}
        self._loaded: dict[str, Loaded] = {}
        self.served: dict[str, Served] = {}
        self.directory = Directory(table, {}, {}, {})
        self.door = Door()
        #: what may be answered at once, by path as it stands in a request line; and what may with the right token.
        self.direct: dict[bytes, Served] = {}
        self.guarded: dict[bytes, Served] = {}
        #: heads of requests as they came -> what they mean. Filled by `protocol`, emptied by every switch.
        self.heads: dict[bytes, Head] = {}
        self._table = table
        self._options = options
        self._metrics = metrics
        self._journals = journals
        self._salt = salt
        self._log = log
        self._waking = Waking(ended=self._woken, tell=lambda lack: said(lack, self.door))

    def switch(self, roster: Roster) -> None:
        """Serve `roster` from the next request on. What has been asked for is in memory already, so nothing waits."""
        held = {name: self._now(name, item) for name, item in roster.models.items()}
        loaded = {name: now for name, item in held.items() if (now := item.loaded)}
        served = {
            name: have
            if (have := self.served.get(name)) and self._loaded.get(name) is now
            else Served(now, self._metrics, self._salt, self._journals, self._options)
            for name, now in loaded.items()
        }
        self._metrics.serves([line for item in served.values() for line in item.versions()])
        self.held, self._loaded, self.served = held, loaded, served
        options = self._options
        self.door = Door(public=options.public, auth=dict(options.auth), grants=by_digest(roster.grants))
        absent = {name: said(lack, self.door) for name, lack in roster.absent.items()}
        self.directory = Directory(self._table, held, served, absent)
        self._shorten()
        self.roster = roster

    async def reach(self, model: str | None, came: Arrival) -> Served:
        """The model that a prediction is asked of (None: the request picks it), loaded first if need be.

        Raises `Problem` (401, 403, 404, 503).
        """
        model = model or self.directory.picked(came.headers, came.query).deployment.model
        self.door.check(came.headers, "predict", model)
        while (served := self.served.get(model)) is None:
            await self._waking.wake(self.directory.named(model), self._options.timeout_s)
        return served

    def _shorten(self) -> None:
        """Say anew what may be answered at once: not what waits for the disk, or for another process."""
        native = {path: to.served for path, to in self.directory.predict.items() if to.dialect is NATIVE}
        short = {
            path.encode(): item for path, item in native.items() if item and item.gathering is None and not item.durable
        }
        self.guarded = {path: item for path, item in short.items() if self.door.asks("predict", item.model)}
        self.direct = {path: item for path, item in short.items() if path not in self.guarded}
        self.heads.clear()

    def _now(self, name: str, held: Held) -> Held:
        """`held`; but the version before it where that was first asked for while this one was looked at, until it is loaded."""
        have = self._loaded.get(name)
        if have is None or not isinstance(held, Lazy) or held.loaded:
            return held
        self._waking.begin(held)
        return have

    def _woken(self, lazy: Lazy) -> None:
        for lack in lazy.lacks:
            self._log({"event": "degraded", "what": str(lack)})
        if lazy.loaded:
            self.switch(self.roster)

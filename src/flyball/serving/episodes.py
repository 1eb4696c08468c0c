"""Tells of a journal in trouble, once when it begins and once when it has ended: in the log, and as an event for each
model served, which the loop turns into an alert. Runs on a thread of its own, as a database may take its time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flyball.errors import FlyballError
from flyball.store import Database, Home, emit, new_id, open_database, utcnow
from flyball.store.database import is_there
from flyball.store.outbox import newest

if TYPE_CHECKING:
    from datetime import datetime

    from flyball.serving.writing import Fault

#: kind of the event. Its payload: model, worker, status ("firing" or "resolved"), severity, title.
EVENT = "journal"
#: an episode has ended when all has been well for this long, seconds.
QUIET_S = 5.0
#: events that wait for a database; the oldest are given up.
MOST_UNSENT = 100
#: of the newest events, those among which a dead predecessor's last word is looked for.
LOOK_BACK = 1000


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    dedup: str
    payload: Mapping[str, Any]


@dataclass(slots=True)
class Episodes:
    """One worker's. `look` is called again and again, from one thread."""

    home: Home
    #: which of the workers this is; one that takes a dead one's place ends what that began.
    worker: int
    log: Callable[[Mapping[str, Any]], None]
    _episode: str | None = None
    _well_since: float | None = None
    _inherited: bool = False
    _unsent: list[_Event] = field(default_factory=list)
    _database: Database | None = None

    def look(self, faults: Sequence[Fault], models: Collection[str], *, now_s: float) -> None:
        """Begin or end an episode, and send what there is to tell. `now_s`: monotonic."""
        if faults:
            self._well_since = None
            if self._episode is None:
                self._episode = new_id()
                severity = "critical" if any(fault.shedding for fault in faults) else "warning"
                self._tell("firing", severity, "; ".join(fault.what for fault in faults), models)
        elif self._episode is not None:
            self._well_since = now_s if self._well_since is None else self._well_since
            if now_s - self._well_since >= QUIET_S:
                self._tell("resolved", "info", "the journal is written again", models)
                self._episode = self._well_since = None
        self._send()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _tell(self, status: str, severity: str, what: str, models: Collection[str]) -> None:
        self.log({"event": "journal", "status": status, "worker": self.worker, "what": what})
        at = utcnow()
        for model in models:
            said = {"model": model, "worker": self.worker, "status": status, "severity": severity}
            title = f"{model}: worker {self.worker}: {what}"
            dedup = f"{EVENT}:{self._episode}:{status}:{model}"
            self._unsent.append(_Event(at, dedup, {**said, "title": title}))
        del self._unsent[:-MOST_UNSENT]

    def _send(self) -> None:
        if self._inherited and not self._unsent:
            return
        try:
            if not is_there(self.home, os.environ):
                return
            if self._database is None:
                self._database = open_database(self.home, os.environ)
            if not self._inherited:
                self._inherit(self._database)
            if self._unsent:
                with self._database.write() as tx:
                    for event in self._unsent:
                        emit(tx, kind=EVENT, payload=dict(event.payload), dedup=event.dedup, at=event.at)
                self._unsent.clear()
        except (FlyballError, OSError, sqlite3.Error):
            self._database = None  # the disk that is full is often the database's too; the log has it

    def _inherit(self, database: Database) -> None:
        """Take over the episode of a predecessor that was killed in the middle of it."""
        said = (event.payload for event in newest(database, kind=EVENT, limit=LOOK_BACK))
        last = next((payload for payload in said if payload["worker"] == self.worker), None)
        if last is not None and last["status"] == "firing" and self._episode is None:
            self._episode = new_id()
        self._inherited = True

"""Follows the database: every new deployment becomes a whole new roster, loaded before anything is switched."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from flyball.errors import FlyballError
from flyball.registry.live import deployments, newest_generation
from flyball.registry.tokens import grants
from flyball.serving.access import keep_grants, kept_grants
from flyball.serving.held import RETRY_S, Lack
from flyball.serving.models import Roster, keep, load, read_kept
from flyball.store import Database, Home, open_database
from flyball.store.database import identity

if TYPE_CHECKING:
    from flyball.registry.records import Deployment


class Watch:
    """Follows the database from one thread; every change becomes a whole new roster."""

    def __init__(self, home: Home, models: tuple[str, ...] = (), threads: int = 1, lazy: tuple[str, ...] = ()) -> None:
        """`models`: only these; empty = all. `threads`, `lazy`: as of `load`."""
        self._home = home
        self._threads = threads
        self._lazy = frozenset(lazy)
        self._only = frozenset(models)
        self._database: Database | None = None
        self._identity = 0
        self._retry_at = 0.0
        self.roster = Roster()

    def start(self) -> Roster:
        """The first roster: from the database, else from what was kept on disk. `look` may then go on in another thread."""
        self.look()
        if self.roster.generation < 0:
            lost = self.roster.lacks
            roster = self._load(self._mine(read_kept(self._home)), self.roster, -1)
            self.roster = replace(roster, lacks=(*lost, *roster.lacks), grants=kept_grants(self._home))
        self.close()
        return self.roster

    def close(self) -> None:
        """Close this thread's connection; the next `look` opens another."""
        if self._database is not None:
            self._database.close()

    def look(self) -> bool:
        """Read the database once; whether `roster` is another one now. What is wrong goes into `degraded`, not out."""
        before = self.roster
        try:
            self._follow()
        except (FlyballError, OSError, sqlite3.Error) as error:
            self._database = None
            lost = Lack("the database cannot be read, so promotions wait", str(error))
            self.roster = replace(before, lacks=(lost,))
        if self.roster == before:
            self.roster = before
        return self.roster is not before

    def _follow(self) -> None:
        database = self._open()
        if self._grants_changed(database) and self.roster.generation >= 0:
            return  # switched to at once: the bundles of a new deployment may take long to load
        before = self.roster
        newest = newest_generation(database)
        if newest == before.generation and not (before.lacks and time.monotonic() >= self._retry_at):
            return
        self._retry_at = time.monotonic() + RETRY_S
        everything = deployments(database)
        if not everything and before.models:
            # History is only ever appended to: an empty one is another database, not a wish to serve nothing.
            lost = Lack("the database has no deployments; what was live before goes on answering")
            self.roster = replace(before, generation=newest, lacks=(lost,))
            return
        wanted = self._mine(everything)
        self.roster = replace(self._load(wanted, before, newest), grants=before.grants)
        served = {name: loaded.deployment for name, loaded in self.roster.models.items()}
        failed = wanted.keys() - served.keys()
        keep(self._home, {name: item for name, item in {**everything, **served}.items() if name not in failed})

    def _load(self, wanted: Mapping[str, Deployment], have: Roster, generation: int) -> Roster:
        return load(self._home, wanted, have=have, generation=generation, threads=self._threads, lazy=self._lazy)

    def _grants_changed(self, database: Database) -> bool:
        """Whether the roster has other tokens now."""
        found = grants(database)
        if found == self.roster.grants:
            return False
        keep_grants(self._home, found)
        self.roster = replace(self.roster, grants=found)
        return True

    def _mine(self, found: Mapping[str, Deployment]) -> dict[str, Deployment]:
        return {name: item for name, item in found.items() if not self._only or name in self._only}

    def _open(self) -> Database:
        """The database, opened anew when the file is another one; never created here."""
        found = identity(self._home, os.environ)
        if self._database is None or found != self._identity:
            if self._database is not None:
                self._database.close()
            self._database, self._identity = open_database(self._home, os.environ), found
        return self._database

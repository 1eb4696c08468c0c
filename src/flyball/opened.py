"""A home, opened for reading from Python: predictions, outcomes, errors and versions as Arrow tables and records."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball.errors import NotFound
from flyball.registry import versions as registry
from flyball.registry.records import Version
from flyball.store import Home, find_home, open_database, utcnow
from flyball.store.database import is_there

if TYPE_CHECKING:
    import pyarrow as pa


class Opened:
    """What `flyball.open` gives. Reads only; carries what is still in the journal into the lake first.

    >>> import flyball  # doctest: +SKIP
    >>> home = flyball.open()  # doctest: +SKIP
    >>> home.predictions("churn", start, end).num_rows  # doctest: +SKIP
    1812
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._database = open_database(home, os.environ)

    def predictions(self, model: str, start: datetime, end: datetime) -> pa.Table:
        """Live predictions with start <= event time < end, in event order; one row a prediction."""
        return self._carried().predictions(self.home, model, start, end)

    def outcomes(self, model: str, start: datetime, end: datetime) -> pa.Table:
        """Outcomes that came true in [start, end), as they were posted, corrections included."""
        return self._carried().outcomes(self.home, model, start, end)

    def scored(self, model: str, start: datetime, end: datetime) -> pa.Table:
        """Live predictions in [start, end), each with its latest outcome: `label`, null where none is known."""
        return self._carried().scored(self.home, model, start, end)

    def errors(self, model: str, start: datetime, end: datetime) -> pa.Table:
        """Requests that were refused or failed in [start, end): status, reason, columns, caller, no values.

        Model `-` has those that reached no model.
        """
        return self._carried().errors(self.home, model, start, end)

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, oldest first."""
        return registry.versions(self._database, model)

    def _carried(self) -> Any:
        """The lake, with all that was answered so far in it."""
        from flyball.journal import lake  # pyarrow and duckdb: only who reads rows pays for them
        from flyball.journal.carry import bring_in

        bring_in(self.home, self._database, now=utcnow())
        return lake


def open_home(path: str | Path | None = None) -> Opened:
    """Open a home: the folder given, else `FLYBALL_HOME`, else the nearest `.flyball/` upward.

    Raises NotFound when there is none: reading never makes one.
    """
    home = find_home(Path.cwd(), os.environ, None if path is None else Path(path))
    if not is_there(home, os.environ):
        raise NotFound(
            f"{home.path} is no Flyball home: it has no flyball.db; `flyball run` makes one beside flyball.toml"
        )
    return Opened(home)

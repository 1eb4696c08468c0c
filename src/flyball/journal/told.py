"""What is known of whole files of outcomes, remembered from call to call: a file of the lake never changes."""

# ruff: noqa: S608 - as in `lake`

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from flyball.journal.relations import query, relation

if TYPE_CHECKING:
    from collections.abc import Sequence

#: files remembered; of more the oldest are forgotten.
MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Of the outcomes given by key in a file, or in several."""

    #: whether there are any.
    keyed: bool
    #: whether one has no time: it belongs to its key's latest prediction, and a new one takes it.
    untimed: bool
    #: the latest of their times; None: none has any.
    latest: datetime | None


_KNOWN: dict[str, Told] = {}


def told_in(files: Sequence[str]) -> dict[str, Told]:
    """File -> what is known of it; those not seen before are read, with one query."""
    unknown = [file for file in files if file not in _KNOWN]
    if unknown:
        rows = query(
            "SELECT filename, count(*) FILTER (id IS NULL) AS keyed, count(*) FILTER (id IS NULL AND timestamp IS NULL)"
            " AS untimed, max(timestamp) FILTER (id IS NULL) AS latest"
            f" FROM {relation('outcomes', unknown, named=True)} GROUP BY filename"
        ).to_pylist()
        found = {
            row["filename"]: Told(keyed=row["keyed"] > 0, untimed=row["untimed"] > 0, latest=row["latest"])
            for row in rows
        }
        _KNOWN.update({file: found.get(file, Told(keyed=False, untimed=False, latest=None)) for file in unknown})
    told = {file: _KNOWN[file] for file in files}
    while len(_KNOWN) > MOST:
        del _KNOWN[next(iter(_KNOWN))]
    return told


def together(files: Sequence[str]) -> Told:
    """Of several files at once."""
    told = told_in(files).values()
    return Told(
        keyed=any(item.keyed for item in told),
        untimed=any(item.untimed for item in told),
        latest=max((item.latest for item in told if item.latest is not None), default=None),
    )

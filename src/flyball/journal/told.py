"""What is known of whole files of outcomes, remembered from call to call: a file of the lake never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

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
    """File -> what is known of it; those not seen before are read."""
    told = {file: _KNOWN.get(file) or _read(file) for file in files}
    _KNOWN.update(told)
    while len(_KNOWN) > MOST:
        del _KNOWN[next(iter(_KNOWN))]
    return told


def _read(file: str) -> Told:
    """Batch by batch: a merged file may be large."""
    keyed, untimed, latest = False, False, None
    with pq.ParquetFile(file) as parquet:
        for rows in parquet.iter_batches(columns=["id", "timestamp"]):
            times = rows.filter(pc.is_null(rows["id"]))["timestamp"]
            keyed, untimed = keyed or len(times) > 0, untimed or times.null_count > 0
            latest = max((at for at in (latest, pc.max(times).as_py()) if at is not None), default=None)
    return Told(keyed=keyed, untimed=untimed, latest=latest)


def together(files: Sequence[str]) -> Told:
    """Of several files at once."""
    told = told_in(files).values()
    return Told(
        keyed=any(item.keyed for item in told),
        untimed=any(item.untimed for item in told),
        latest=max((item.latest for item in told if item.latest is not None), default=None),
    )

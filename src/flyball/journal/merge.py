"""Many small Parquet files of a partition become one. A killed merge is finished by the next carrier.

`lake/.merge.json` says what replaces what: from its writing on the swap is done over until it is through. Only the carrier
merges, so there is one at a time; readers see the old files or the new one (`layout.steady`, `layout.lake_files`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flyball.journal.lake import union
from flyball.journal.layout import Kind, merge_record, parquet_files, steady, write_draft
from flyball.store.files import read_json, write_json
from flyball.store.ids import derived_id

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.store.home import Home

#: A partition is merged when it has this many files smaller than that.
SMALL_FILES = 32
SMALL_BYTES = 4 * 2**20


def merge(home: Home, folder: Path, kind: Kind, small_files: int, checkpoint: Callable[[str], object]) -> None:
    """Make one file of a partition's small ones, if they are many."""
    names = [name for name in parquet_files(folder) if (folder / name).stat().st_size < SMALL_BYTES]
    if len(names) < small_files:
        return
    for stale in folder.glob(".m-*.draft"):
        stale.unlink()
    into = f"m-{derived_id(*names)[:16]}.parquet"
    write_draft(folder, into, union(kind, [str(folder / name) for name in names]))
    checkpoint("drafted")
    write_json(merge_record(home), {"folder": str(folder.relative_to(home.lake)), "into": into, "of": names})
    checkpoint("merging")
    finish_merge(home, checkpoint)


def finish_merge(home: Home, checkpoint: Callable[[str], object]) -> None:
    """Do the recorded swap, or what is left of it; nothing without a record."""
    record = merge_record(home)
    if not record.exists():
        return
    said = read_json(record)
    folder = home.lake / said["folder"]
    draft = folder / f".{said['into']}.draft"
    with steady(home, swapping=True):
        if draft.exists():
            draft.replace(folder / said["into"])
        checkpoint("merged")
        for name in said["of"]:
            (folder / name).unlink(missing_ok=True)
        record.unlink()

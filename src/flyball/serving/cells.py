"""Counters that outlive their process: float64 cells in a memory-mapped file, named in a text file beside it.

A worker adds to a cell with one aligned 8-byte store, so a reader in another process, or after SIGKILL, sees every
completed addition (prometheus_client's own multiprocess values cost 2-3 us an increment; a cell costs 0.1).
A worker that takes a dead one's place goes on counting in its file: nothing is lost and files do not pile up.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from array import array
from pathlib import Path
from typing import IO, TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

#: cells a file holds: 512 KiB; a version uses about ten of them.
CAPACITY = 1 << 16
_CELL_BYTES = 8
_FILE_BYTES = CAPACITY * _CELL_BYTES
#: cells without a name at the start of a file: where additions go when all others are taken.
_NAMELESS = 64

#: What a run of cells counts: a family's name and its label values.
Name = tuple[str, ...]


class Cells:
    """One worker's own counters. Not for several threads: additions happen on the event loop."""

    def __init__(self, folder: Path, index: int) -> None:
        """Take over `folder`/worker-`index`, or a file of this process where a predecessor still holds that one."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = _claim(folder, index)
        names = Path(self._file.name).with_suffix(".names")
        taken = list(_read_names(names))
        self._names = names.open("ab")
        self._map = _mapped(self._file)
        #: the cells; add to one with `values[i] += 1.0`.
        self.values = memoryview(self._map).cast("d")
        self._starts = {name: start for name, start, _ in taken}
        self._used = max((start + size for _, start, size in taken), default=_NAMELESS)

    def at(self, name: Name, size: int = 1) -> int:
        """Index of the first of `size` (at most 64) cells called `name`, zero when new."""
        start = self._starts.get(name)
        if start is None:
            start = self._used
            if start + size > CAPACITY:
                return 0  # an answer matters more than its count
            self._starts[name] = start
            self._used = start + size
            # The line begins with a newline too, so that what a killed predecessor left unfinished cannot swallow it.
            self._names.write(b"\n" + orjson.dumps([name, start, size]) + b"\n")
            self.flush()
        return start

    def named(self, family: str) -> dict[Name, int]:
        """Index of every run of a family by its name, a predecessor's too."""
        return {name: start for name, start in self._starts.items() if name[0] == family}

    def flush(self) -> None:
        """Write out names that a full disk held back."""
        try:
            self._names.flush()
        except OSError:
            pass  # the buffer keeps them for the next try

    def close(self) -> None:
        self.values.release()
        self._map.close()
        self.flush()
        self._names.raw.close()
        self._file.close()


def read_cells(folder: Path) -> Iterator[tuple[Name, list[float]]]:
    """Every named run of cells of every worker, dead or alive; the same name once per worker."""
    for path in sorted(folder.glob("*.cells")):
        content = path.read_bytes()
        if len(content) == _FILE_BYTES:
            values = array("d", content)
            for name, start, size in _read_names(path.with_suffix(".names")):
                yield name, values[start : start + size].tolist()


def _claim(folder: Path, index: int) -> IO[bytes]:
    file = (folder / f"worker-{index}.cells").open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        file = (folder / f"worker-{index}-{os.getpid()}.cells").open("a+b")
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _mapped(file: IO[bytes]) -> mmap.mmap:
    """The file in memory, its blocks taken now: on a disk that fills up later, a store into a hole would kill the worker."""
    try:
        file.write(bytes(_FILE_BYTES - os.fstat(file.fileno()).st_size))
        file.flush()
    except OSError:
        return mmap.mmap(-1, _FILE_BYTES)  # no room for counters; answers go on
    return mmap.mmap(file.fileno(), _FILE_BYTES)


def _read_names(path: Path) -> Iterator[tuple[Name, int, int]]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            name, start, size = orjson.loads(line or b"null")
        except (orjson.JSONDecodeError, TypeError):
            continue  # the empty line between two, or one torn by a kill: nothing was counted under it
        yield tuple(name), start, size

"""One writer's file in the journal. An appended line survives the death of the process; a full disk sheds and counts.

The writer holds an exclusive `flock` on its file while it lives, which is how the carrier tells the dead from the slow.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIX = ".jsonl"
REOPEN_S = 1.0

# After these the same file will take lines again as soon as there is room.
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class Segment:
    """The only writer of one file `<kind>-<pid>-<start ms>-<random>.jsonl`. For one thread; opened without ever raising."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        #: lines that are whole in the file, and lines that are not, since the writer began.
        self.written = 0
        self.dropped = 0
        #: what went wrong last; None while lines are being written.
        self.last_error: str | None = None
        self.path: Path | None = None
        self._fd: int | None = None
        self._torn = False
        #: whether the folder on the disk itself knows the file.
        self._listed = False
        self._opened_at = 0.0
        self._retry_at = 0.0
        self._open()

    def append(self, line: bytes) -> bool:
        """Write one `\\n`-terminated line with one `write`; False if it is not, or not surely, in the file."""
        if self._fd is None and (time.monotonic() < self._retry_at or not self._open()):
            return self._drop()
        assert self._fd is not None
        # "#" makes sure that a torn line which lacks nothing but its end is not read as a whole one.
        content = b"#\n" + line if self._torn else line
        try:
            done = os.write(self._fd, content)
            # A file that was deleted takes every write and keeps none.
            linked = os.fstat(self._fd).st_nlink
        except OSError as error:
            return self._failed(error)
        if linked and done == len(content):
            self.written += 1
            self._torn = False
            self.last_error = None
            return True
        if not linked:
            return self._failed(_deleted(self.path))
        self._torn = self._torn or done > 0
        self.last_error = self._short(done, len(content))
        return self._drop()

    def append_all(self, lines: Sequence[bytes]) -> int:
        """Write lines with one `write`; how many of them, counted from the first, are surely in the file."""
        if self._fd is None and (time.monotonic() < self._retry_at or not self._open()):
            self.dropped += len(lines)
            return 0
        assert self._fd is not None
        mend = b"#\n" if self._torn else b""
        content = mend + b"".join(lines)
        try:
            done = os.write(self._fd, content)
            if not os.fstat(self._fd).st_nlink:
                raise _deleted(self.path)
        except OSError as error:
            self.dropped += len(lines) - 1
            self._failed(error)
            return 0
        whole, end = _whole(lines, len(mend), done)
        self.written += whole
        self.dropped += len(lines) - whole
        self._torn = done > end if whole else self._torn or done > 0
        self.last_error = None if done == len(content) else self._short(done, len(content))
        return whole

    def sync(self) -> bool:
        """Bring what was written to the disk itself; False if it is not surely there. Takes as long as the disk does."""
        if self._fd is None:
            return False
        try:
            _sync(self._fd)
            if not self._listed:
                # A new file may be gone after a power cut, synced or not, until its folder is synced too.
                folder = os.open(self.folder, os.O_RDONLY)
                try:
                    _sync(folder)
                finally:
                    os.close(folder)
                self._listed = True
        except OSError as error:
            # What the kernel could not write it may have thrown away, so the same file is not asked again.
            self.last_error = f"{self.path}: fsync failed: {error.strerror}"
            self._abandon()
            return False
        return True

    def rotate_if_older(self, age_s: float) -> bool:
        """Go on in a new file when this one is older than `age_s` and not empty; the old one is the carrier's then."""
        if self._fd is None or time.monotonic() - self._opened_at < age_s or os.fstat(self._fd).st_size == 0:
            return False
        old = self._fd
        if not self._open():
            return False
        os.close(old)
        return True

    def close(self) -> None:
        """Let go of the file; a later `append` begins a new one."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _short(self, done: int, size: int) -> str:
        return f"{self.path}: only {done} of {size} bytes were written; is the disk full?"

    def _failed(self, error: OSError) -> bool:
        self.last_error = str(error)
        if error.errno not in _FULL:
            self._abandon()
        return self._drop()

    def _abandon(self) -> None:
        """Leave the file for a while, then begin another; one without a line is not left behind."""
        assert self._fd is not None
        assert self.path is not None
        try:
            if os.fstat(self._fd).st_size == 0:
                self.path.unlink()
        except OSError:
            pass  # the carrier sweeps it
        self.close()
        self._retry_at = time.monotonic() + REOPEN_S

    def _drop(self) -> bool:
        self.dropped += 1
        return False

    def _open(self) -> bool:
        name = f"{self.kind}-{os.getpid()}-{time.time_ns() // 1_000_000}-{os.urandom(4).hex()}{SUFFIX}"
        path = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = _locked(path)
        except OSError as error:
            self.last_error = str(error)
            self._retry_at = time.monotonic() + REOPEN_S
            return False
        self.path, self._fd, self._torn, self._listed = path, fd, False, False
        self._opened_at = time.monotonic()
        return True


def _whole(lines: Sequence[bytes], start: int, done: int) -> tuple[int, int]:
    """How many lines, written from byte `start` on, lie within `done` bytes, and where the last of them ends."""
    end = start
    for number, line in enumerate(lines):
        if end + len(line) > done:
            return number, end
        end += len(line)
    return len(lines), end


def _deleted(path: Path | None) -> OSError:
    return OSError(errno.ENOENT, "the segment was deleted", str(path))


def _sync(fd: int) -> None:
    # macOS's fsync leaves the bytes in the drive's own cache.
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def _locked(path: Path) -> int:
    """A new file, opened for appending and locked."""
    while True:
        fd = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # The carrier may have swept the empty file away between its making and its locking.
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)

"""A home as one file, taken while it is in use, and back.

Order is what makes it whole: databases first, then the journal, then the lake, while no carrier moves lines between the
two. What is carried or registered after the database's copy is at worst there twice, and the next carrier leaves out what
it knows; nothing is there that the database's copy does not lead to. The last member lists every file's SHA-256: without
it, or with another digest, nothing is restored.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

import orjson

from flyball.errors import Conflict, Corrupt, Mistake
from flyball.journal.carry import alone
from flyball.store import Home, moment, stamp
from flyball.store.sqlite import reading

FORMAT = 1
MANIFEST = "backup.json"
#: made anew by whoever needs them: counters of processes that live, locks, drafts of files being written.
_PASSING = frozenset({"metrics", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a backup holds."""

    files: int
    #: of the files, before they are compressed.
    bytes: int
    at: datetime


def back_up(home: Home, target: Path, *, now: datetime, tell: Callable[[str], None] = lambda _: None) -> Kept:
    """Write the home to `target`, a .tar.gz that appears whole or not at all. Raises Mistake, Conflict, OSError."""
    if not home.database.exists():
        raise Mistake(f"there is no database at {home.database}; nothing was backed up")
    if target.resolve().is_relative_to(home.path.resolve()):
        raise Mistake(f"{target} lies in the home that is backed up; name a file elsewhere")
    if not target.parent.is_dir():
        raise Mistake(f"there is no folder {target.parent}; make it, or name a file in another. Nothing was backed up")
    if target.exists():
        raise Conflict(f"{target} exists; nothing was changed. Name another file, or move that one away")
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    manifest: dict[str, list[object]] = {}
    try:
        with tarfile.open(draft, "w:gz", compresslevel=1) as archive:
            tell("databases")
            for path in (home.database, home.mlflow / "mlflow.db"):
                if path.exists():
                    _add_database(archive, home, path, manifest)
            with alone(home):
                for folder in (home.journal, home.lake):
                    tell(folder.name)
                    _add_all(archive, home, folder, manifest)
            for path in sorted(home.path.iterdir()):
                if path not in (home.journal, home.lake) and not path.name.startswith("."):
                    tell(path.name)
                    _add_all(archive, home, path, manifest)
            about = {"format": FORMAT, "at": stamp(now), "files": manifest}
            _add_bytes(archive, MANIFEST, orjson.dumps(about))
        draft.chmod(0o600)  # it holds tokens' digests and the salt of hashed columns
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return _kept(about)


def restore(archive: Path, home: Home) -> Kept:
    """Make `home` of a backup: every file checked, then the folder appears at once. Raises Conflict, Corrupt."""
    if home.path.is_file() or (home.path.exists() and any(home.path.iterdir())):
        what = "is a file" if home.path.is_file() else "is not empty"
        raise Conflict(f"{home.path} {what}; nothing was changed. Restore into a new folder: --home DIR")
    home.path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{home.path.name}.", suffix=".draft", dir=home.path.parent))
    try:
        try:
            with tarfile.open(archive, "r:gz") as opened:
                opened.extractall(draft, filter="data")
            about = orjson.loads((draft / MANIFEST).read_bytes())
            files = about["files"]
        except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"{archive} is no whole backup ({type(error).__name__}); nothing was restored") from error
        if about["format"] != FORMAT:
            raise Mistake(f"{archive} has format {about['format']}, this release reads {FORMAT}; upgrade Flyball")
        _check(archive, draft, files)
        (draft / MANIFEST).unlink()
        draft.chmod(0o700)
        if home.path.exists():
            home.path.rmdir()
        draft.rename(home.path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _kept(about)


def _add_database(archive: tarfile.TarFile, home: Home, path: Path, manifest: dict[str, list[object]]) -> None:
    """As it was at one moment, whoever writes to it meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        with (
            closing(reading(path)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        _add(archive, copy, path.relative_to(home.path).as_posix(), manifest)


def _add_all(archive: tarfile.TarFile, home: Home, place: Path, manifest: dict[str, list[object]]) -> None:
    for path in [place] if place.is_file() else _files(place):
        name = path.relative_to(home.path).as_posix()
        if name not in manifest and not name.endswith((".db-wal", ".db-shm", ".backup")):
            try:
                _add(archive, path, name, manifest)
            except FileNotFoundError:
                continue  # a run's draft, or a segment that was carried: its rows are in the lake


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        names = path.relative_to(folder).parts
        if path.is_file() and not any(name.startswith(".") or name in _PASSING for name in names):
            yield path


def _add(archive: tarfile.TarFile, path: Path, name: str, manifest: dict[str, list[object]]) -> None:
    """A file at the length it has now: one that is appended to keeps what it held."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        member = archive.gettarinfo(arcname=name, fileobj=file)
        member.size = size
        read = _Digested(file, size)
        archive.addfile(member, read)
    manifest[name] = [size, read.digest.hexdigest()]


class _Digested(io.RawIOBase):
    """The first bytes of a file, and what they come to."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file, self._left = file, size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(min(size if size >= 0 else self._left, self._left))
        self._left -= len(content)
        self.digest.update(content)
        return content


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _check(archive: Path, folder: Path, files: dict[str, list[object]]) -> None:
    for name, (size, digest) in files.items():
        path = folder / PurePosixPath(name)
        if not path.is_file():
            raise Corrupt(f"{archive}: {name} is missing in it; nothing was restored")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if path.stat().st_size != size or found != digest:
            raise Corrupt(f"{archive}: {name} is not what was backed up; nothing was restored")


def _kept(about: dict[str, object]) -> Kept:
    files = about["files"]
    assert isinstance(files, dict)
    return Kept(files=len(files), bytes=sum(size for size, _ in files.values()), at=moment(str(about["at"])))

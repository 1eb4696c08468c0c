"""The data files a project names in `[pipeline] source`: their digests, and the revision of those that DVC tracks.

DVC itself is not asked: a `.dvc` file beside the data, or the `dvc.lock` upward of it, says which content is meant.
Formats: https://dvc.org/doc/user-guide/project-structure/dvc-files and .../dvcyaml-files#dvclock-file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flyball.errors import Mistake
from flyball.loop.recipe import git
from flyball.store.files import read_json

#: in a run's folder: what was there when it began.
SOURCES = "sources.json"

#: read at once.
CHUNK = 1 << 20


def sources(directory: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Name -> what was there: `sha256`; of what DVC tracks also `dvc` (the file that says so), `md5` as it says, `revision`
    (the commit that last changed that file, where there is one), and `state`: whether the content is that of `md5`.

    Raises Mistake for a name that is not there.
    """
    return {name: _source(directory, name) for name in names}


def kept_sources(folder: Path) -> dict[str, dict[str, str]]:
    """What a run's folder says of them; nothing where it says nothing: an adopted model, an earlier release."""
    path = folder / SOURCES
    found: dict[str, dict[str, str]] = read_json(path) if path.is_file() else {}
    return found


def _source(directory: Path, name: str) -> dict[str, str]:
    path = directory / name
    tracked = _tracked(path, directory)
    if not path.exists():
        mend = f"`dvc pull {name}` fetches it" if tracked else "put it there, or take it out of the list"
        raise Mistake(f"flyball.toml: [pipeline] source names {name!r}, which is not in {directory}; {mend}")
    sha256, md5 = _digests(path)
    if tracked is None:
        return {"sha256": sha256}
    file, said = tracked
    found = {"sha256": sha256, "dvc": file.name, "md5": said, "state": "as tracked" if md5 == said else "changed"}
    revision = _revision(file)
    return {**found, "revision": revision} if revision else found


def _digests(path: Path) -> tuple[str, str]:
    """(SHA-256, MD5 as DVC means it) of a file, or of a folder's files and their names."""
    if path.is_file():
        return _file_digests(path)
    files = sorted(item for item in path.rglob("*") if item.is_file())
    digests = {item.relative_to(path).as_posix(): _file_digests(item) for item in files}
    sha256 = hashlib.sha256("".join(f"{name} {both[0]}\n" for name, both in digests.items()).encode())
    entries = [{"md5": both[1], "relpath": name} for name, both in sorted(digests.items())]
    return sha256.hexdigest(), hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"  # noqa: S324


def _file_digests(path: Path) -> tuple[str, str]:
    both = hashlib.sha256(), hashlib.md5()  # noqa: S324  # DVC's choice: it tells contents apart, nothing more
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for digest in both:
                digest.update(chunk)
    return both[0].hexdigest(), both[1].hexdigest()


def _tracked(path: Path, directory: Path) -> tuple[Path, str] | None:
    """(the file by which DVC tracks the path, its MD5 there); None: no such file."""
    beside = path.with_name(f"{path.name}.dvc")
    for entry in _outs(beside, beside.parent):
        if entry[0] == path:
            return beside, entry[1]
    for folder in (path.parent, *path.parent.parents):
        lock = folder / "dvc.lock"
        for entry in _outs(lock, folder):
            if entry[0] == path:
                return lock, entry[1]
        if (folder / ".dvc").is_dir() or (folder / ".git").exists() or not path.is_relative_to(directory):
            break
    return None


def _outs(file: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """(path, MD5) of what a `.dvc` file or a `dvc.lock` lists. What cannot be read as one lists nothing."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    if not isinstance(document, Mapping):
        return
    stages = document.get("stages")
    for stage in [document, *(stages.values() if isinstance(stages, Mapping) else ())]:
        for out in _list(stage, "outs"):
            if isinstance(out, Mapping) and isinstance(out.get("path"), str) and isinstance(out.get("md5"), str):
                yield folder / str(_list_folder(stage)) / out["path"], out["md5"]


def _list(stage: Any, name: str) -> list[Any]:
    found = stage.get(name) if isinstance(stage, Mapping) else None
    return found if isinstance(found, list) else []


def _list_folder(stage: Mapping[str, Any]) -> str:
    """Of a `.dvc` file with a working folder of its own."""
    folder = stage.get("wdir")
    return folder if isinstance(folder, str) else "."


def _revision(file: Path) -> str | None:
    """The last commit that touched the file, if what it holds now is what was committed."""
    try:
        if git(file.parent, "status", "--porcelain", "--", file.name).strip():
            return None
        return git(file.parent, "log", "-1", "--format=%H", "--", file.name).strip() or None
    except (OSError, subprocess.SubprocessError):
        return None

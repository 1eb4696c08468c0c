"""An export's files onto the disk: below one folder, and over nobody's changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flyball.errors import Mistake


def write_files(folder: Path, files: Mapping[str, str | bytes], *, force: bool) -> list[Path]:
    """Write `files` (path below `folder` -> content); those written, in order. What is there already, equal, stays untouched.

    Raises Mistake, before anything is written, where a file differs and `force` is not given.
    """
    wanted = {folder / name: _bytes(content) for name, content in files.items()}
    outside = [path for path in wanted if not path.resolve().is_relative_to(folder.resolve())]
    if outside:
        raise Mistake(f"{outside[0]} leads out of {folder}; is a link in the way? Nothing was written")
    changed = {path: content for path, content in wanted.items() if not _same(path, content)}
    others = [path for path in changed if path.exists()]
    if others and not force:
        there = ", ".join(path.relative_to(folder).as_posix() for path in others)
        raise Mistake(
            f"{folder} holds other content under {there}; nothing was written. --force writes over it, another DIR keeps it"
        )
    for path, content in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(content)
        os.replace(draft, path)  # noqa: PTH105  # Path.replace, said plainly
    return sorted(changed)


def _same(path: Path, content: bytes) -> bool:
    if path.is_dir():
        raise Mistake(f"{path} is a folder; a file of that name was to be written. Nothing was written")
    return path.is_file() and path.read_bytes() == content


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content

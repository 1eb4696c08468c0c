"""What differs between the source files that two runs have kept of their projects, as a unified diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: a run's folder with its project's files as they were, where it keeps them.
FOLDER = "recipe"
#: in it what differed from the commit: the files are there themselves.
CHANGES = "changes.diff"
#: lines that are shown.
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDifference:
    """Lines of a unified diff, and how many more there would be."""

    lines: tuple[str, ...]
    left_out: int


def code_difference(a: Path, b: Path) -> CodeDifference | None:
    """Of two runs' folders; None where one of them has not kept its files."""
    first, second = a / FOLDER, b / FOLDER
    if not (first.is_dir() and second.is_dir()):
        return None
    lines = list(_lines(_texts(first), _texts(second)))
    return CodeDifference(lines=tuple(lines[:MOST]), left_out=max(len(lines) - MOST, 0))


def _texts(folder: Path) -> dict[str, list[str]]:
    """Name -> lines; links are not followed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: path.read_text(encoding="utf-8", errors="replace").splitlines()
        for name, path in named.items()
        if name != CHANGES
    }


def _lines(a: dict[str, list[str]], b: dict[str, list[str]]) -> Iterator[str]:
    for name in sorted({*a, *b}):
        yield from difflib.unified_diff(a.get(name, []), b.get(name, []), f"a/{name}", f"b/{name}", lineterm="")

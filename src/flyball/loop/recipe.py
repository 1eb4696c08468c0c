"""What a model is made with: source code, parameters, commit, environment, machine. Kept with each run, to be made again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from flyball.project.records import Project

#: in a run's folder: the project's files as they were, in their places.
RECIPE = "recipe"

#: in it: what `git diff` said of them; where the files began.
CHANGES = "changes.diff"

SETTINGS = "flyball.toml"

#: a longer diff is cut: it is there to be read, and the files themselves are kept.
LONGEST_DIFF = 1_000_000


def recipe_digest(project: Project, params: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """SHA-256 of how a model is made: its source and parameters. The same recipe on newer data is a refresh.

    files: what the pipeline imports of the project's own, path -> content; the pipeline itself may be among them.
    """
    pipeline = f"{project.pipeline.module.replace('.', '/')}.py"
    whole = hashlib.sha256((project.directory / pipeline).read_bytes())
    for name, content in sorted(files.items()):
        if name != pipeline:
            whole.update(f"\0{name}\0".encode() + content)
    recipe = orjson.dumps(
        {"params": dict(params), "seed": project.pipeline.seed, "features": project.model.features},
        option=orjson.OPT_SORT_KEYS,
    )
    whole.update(b"\0" + recipe)
    return whole.hexdigest()


def keep_recipe(folder: Path, directory: Path, files: Mapping[str, bytes]) -> None:
    """Keep the project's settings and source `files` in the run's `folder`, and what git says of them; whole or not at all."""
    draft = folder / f".{RECIPE}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    for name, content in {SETTINGS: (directory / SETTINGS).read_bytes(), **files}.items():
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    changes = uncommitted(directory)
    if changes:
        (draft / CHANGES).write_text(changes, encoding="utf-8")
    shutil.rmtree(folder / RECIPE, ignore_errors=True)
    draft.rename(folder / RECIPE)


def git_state(directory: Path) -> tuple[str | None, bool]:
    """(commit, whether files differ from it); (None, False) outside a repository or without git."""
    try:
        commit = git(directory, "rev-parse", "HEAD").strip()
        return commit or None, bool(git(directory, "status", "--porcelain", "--", ".").strip())
    except (OSError, subprocess.SubprocessError):
        return None, False


def uncommitted(directory: Path) -> str:
    """The diff of the folder's tracked files against the commit, at most LONGEST_DIFF characters; "" without one."""
    try:
        return git(directory, "diff", "HEAD", "--relative", "--", ".")[:LONGEST_DIFF]
    except (OSError, subprocess.SubprocessError):
        return ""


def git(directory: Path, *words: str) -> str:
    """What git prints, asked in `directory`. Raises OSError, SubprocessError."""
    done = subprocess.run(  # noqa: S603  # fixed words, no shell
        ["git", "-C", str(directory), *words],  # noqa: S607
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        timeout=10,
    )
    return done.stdout


@cache
def environment() -> Mapping[str, str]:
    """Every installed distribution with its version, and Python's own."""
    found = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    return {"python": platform.python_version(), **dict(sorted(found.items()))}


def hardware() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"

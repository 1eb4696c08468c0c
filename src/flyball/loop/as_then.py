"""A project's folder as it was when a run was made, and what has moved since: data files, the recipe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flyball.errors import Mistake
from flyball.loop.recipe import RECIPE
from flyball.loop.sources import kept_sources, sources
from flyball.pipeline.runs import RunRecord
from flyball.store import Home, new_id


@contextmanager
def project_as_then(home: Home, run: RunRecord, directory: Path) -> Iterator[Path]:
    """A folder with `project`: the run's own recipe, and beside it, as links, what else lies in the project's folder."""
    folder = home.runs / f".reproduce-{new_id()}"
    try:
        (folder / "run").mkdir(parents=True)
        overlay(home.runs / run.id / RECIPE, directory, folder / "project")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def overlay(recipe: Path, directory: Path, target: Path) -> None:
    """Make `target` out of the recipe's files, as copies, and what `directory` holds besides, as links."""
    target.mkdir()
    for path in recipe.iterdir():
        if path.is_dir():
            overlay(path, directory / path.name, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
    if directory.is_dir():
        for path in directory.iterdir():
            if not (target / path.name).exists() and path.name != "__pycache__":
                (target / path.name).symlink_to(path)


def moved_files(home: Home, run: RunRecord, directory: Path) -> tuple[str, ...]:
    """Data files of `[pipeline] source` whose content is not what it was."""
    notes = []
    for name, was in kept_sources(home.runs / run.id).items():
        try:
            now = sources(directory, [name])[name]
        except Mistake:
            notes.append(f"data file {name} is gone")
            continue
        if now["sha256"] != was["sha256"]:
            revision = f"; DVC has it at {was['revision'][:12]}" if "revision" in was else ""
            notes.append(f"data file {name} has changed: {was['sha256'][:12]} then, {now['sha256'][:12]} now{revision}")
    return tuple(notes)


def moved_source(home: Home, run: RunRecord, directory: Path) -> tuple[str, ...]:
    """Files of the recipe that have changed since; the recipe's were used."""
    recipe = home.runs / run.id / RECIPE
    names = [path.relative_to(recipe) for path in sorted(recipe.rglob("*.py"))]
    changed = [
        str(name)
        for name in names
        if not (directory / name).is_file() or (directory / name).read_bytes() != (recipe / name).read_bytes()
    ]
    return (f"{', '.join(changed)}: changed since; as it was then is what ran",) if changed else ()

"""Where a command works: which project, which home, and their opening."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.errors import Mistake
from flyball.registry.projects import projects, require_model
from flyball.store import Database, Home, find_home, open_database

if TYPE_CHECKING:
    from flyball.project.records import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What `--project`, `--home`, the environment and the working folder say together."""

    #: folder of flyball.toml; None = there is none upward.
    project: Path | None
    home: Home
    #: whether the home was named, by option or environment.
    named: bool


def find_place(project: Path | None, home: Path | None) -> Place:
    """The place a command was told to work in. A named project folder without flyball.toml is the caller's mistake."""
    if project is not None and not (project / "flyball.toml").is_file():
        raise Mistake(f"--project {project}: no flyball.toml there; `flyball init {project}` writes one")
    folder = project.absolute() if project is not None else nearest_project(Path.cwd())
    return Place(
        project=folder,
        home=find_home(folder or Path.cwd(), os.environ, home),
        named=home is not None or bool(os.environ.get("FLYBALL_HOME")),
    )


def nearest_project(start: Path) -> Path | None:
    """The nearest folder from `start` upward that holds a flyball.toml."""
    return next((folder for folder in (start, *start.parents) if (folder / "flyball.toml").is_file()), None)


def open_home(place: Place, *, make: bool = False) -> Database:
    """The home's database. A home is made beside a project; elsewhere only by the verbs that put something in it."""
    if not (place.project is not None or place.home.path.is_dir() or (make and place.named)):
        if place.named:
            raise Mistake(f"no home in {place.home.path}; `flyball run` in a project's folder makes one")
        raise Mistake(
            f"no project and no home here: neither flyball.toml nor .flyball from {Path.cwd()} upward; "
            "`flyball init DIR` writes a project, --project and --home name others"
        )
    return open_database(place.home, os.environ)


def open_homes(place: Place, directories: Sequence[Path]) -> tuple[Home, Database]:
    """The one home that several project folders share, and its database."""
    if place.named or not directories:
        return place.home, open_home(place, make=True)
    homes = {find_home(folder, os.environ).path for folder in directories}
    if len(homes) > 1:
        there = ", ".join(str(path) for path in sorted(homes))
        raise Mistake(
            f"these projects have homes of their own ({there}); name the one they shall share with --home DIR"
        )
    home = Home(homes.pop())
    return home, open_database(home, os.environ)


def the_project(place: Place) -> Project:
    """The project of this place, understood and checked."""
    if place.project is None:
        raise Mistake(
            f"no flyball.toml from {Path.cwd()} upward; `flyball init DIR` writes a project, --project DIR names one"
        )
    from flyball.project.load import load_project  # verbs that only read the registry need no project

    return load_project(place.project)


def project_of(database: Database, model: str) -> Project:
    """The project that owns a model's name in this home. Raises NotFound, ProjectError."""
    require_model(database, model)
    known = projects(database)
    if model not in known:
        raise Mistake(f"no project in this home makes {model}; `flyball run` in its folder adds it")
    from flyball.project.load import load_project

    return load_project(known[model])

"""The projects a home holds, and which one owns a model's name."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from flyball.errors import Mistake, NotFound
from flyball.project.wording import there_is
from flyball.store import Database, Transaction, stamp


def add_project(tx: Transaction, *, name: str, directory: Path, at: datetime) -> None:
    """Remember a project, or that it moved. A name taken by another folder that still exists is refused."""
    row = tx.one("SELECT directory FROM project WHERE name = :name", name=name)
    if row is not None and row["directory"] != str(directory) and (Path(row["directory"]) / "flyball.toml").exists():
        raise Mistake(
            f"model {name!r} belongs to the project in {row['directory']}; "
            f"give the one in {directory} another [model] name, or use another --home"
        )
    tx.run(
        "INSERT INTO project (name, directory, added_at) VALUES (:name, :directory, :at)"
        " ON CONFLICT (name) DO UPDATE SET directory = excluded.directory",
        name=name,
        directory=str(directory),
        at=stamp(at),
    )


def projects(database: Database) -> dict[str, Path]:
    """Model name -> folder of its flyball.toml."""
    return {
        row["name"]: Path(row["directory"]) for row in database.all("SELECT name, directory FROM project ORDER BY name")
    }


def model_names(database: Database) -> list[str]:
    """Every model anything is known of, sorted: projects not yet trained too."""
    rows = database.all(
        "SELECT name AS model FROM project UNION SELECT model FROM version UNION SELECT model FROM run"
        " UNION SELECT model FROM decision ORDER BY 1"
    )
    return [row["model"] for row in rows]


def require_model(database: Database, model: str) -> None:
    """NotFound, naming what there is, unless the model is known."""
    known = model_names(database)
    if model not in known:
        there = there_is(model, tuple(known), "none yet; `flyball run` trains the first")
        raise NotFound(f"no model {model!r} here{there}")

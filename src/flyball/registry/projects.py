"""The projects a home holds, and which one owns a model's name."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from flyball.errors import Mistake
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

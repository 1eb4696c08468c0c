"""Begins a project: a small one that runs as it stands, to be replaced piece by piece."""

from __future__ import annotations

import re
import unicodedata
from importlib.resources import files
from pathlib import Path

from flyball.errors import Mistake
from flyball.project.load import load_project
from flyball.project.readers import slug
from flyball.project.records import Project

#: file of the project -> file of the template. The pipeline lies there as text: it is the user's code, not this package's.
_FILES = {
    "flyball.toml": "flyball.toml",
    "pipeline.py": "pipeline.py.txt",
    "request.json": "request.json",
    "README.md": "README.md",
}


def create_project(directory: Path | str, name: str | None = None) -> Project:
    """Write a new project into `directory`, made if need be; `name`, or else the folder's, becomes the model's.

    Raises Mistake, with nothing written, where the folder holds anything but hidden files or `name` is no model's name.
    """
    folder = Path(directory).absolute()
    _refuse_occupied(folder)
    try:
        model = model_name(folder.name) if name is None else slug(name)
    except ValueError as error:
        raise Mistake(f"the model's name {error}") from None
    template = files("flyball.project") / "template"
    folder.mkdir(parents=True, exist_ok=True)
    for target, source in _FILES.items():
        text = (template / source).read_text(encoding="utf-8")
        (folder / target).write_text(text.replace("MODEL", model), encoding="utf-8")
    return load_project(folder)


def model_name(text: str) -> str:
    """`text` as the name of a model: "Prix des Cafés_2" -> "prix-des-cafes-2"; "model" where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-") or "model"


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise Mistake(f"{folder} is a file; name a new or empty folder")
    held = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.exists() else []
    if held:
        more = ", ..." if len(held) > 3 else ""
        raise Mistake(f"{folder} is not empty ({', '.join(held[:3])}{more}); name a new or empty folder")

"""Begins a project around a model that exists already: flyball.toml alone, for there is no pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyball.errors import Conflict, Mistake
from flyball.project.load import SETTINGS, load_project
from flyball.project.readers import slug
from flyball.project.records import Project

_TEXT = """\
# Written by `flyball adopt`. `flyball check` tells every mistake with its line.

[model]
{model}
adopted = true   # versions come by `flyball adopt`: there is no pipeline, and nothing is retrained

[gate]           # what another version must show on the reference table given with it; a first one has no champion
always = []      # "p99_ms <= 20", say, or a floor of a metric: for the first one too

[rollout]
strategy = "{strategy}"
"""

_ORDER = ("name", "task", "target", "positive", "key", "timestamp", "features")


def begin_adopted(folder: Path, settings: Mapping[str, Any]) -> Project:
    """Write flyball.toml for `settings`, the values of `[model]`; None: left out.

    Raises Mistake, with nothing written, for a name that is none; Conflict where a flyball.toml has come meanwhile.
    """
    try:
        name = slug(settings["name"])
    except ValueError as error:
        raise Mistake(f"the model's name {error}") from None
    known = {**settings, "name": name}
    lines = [f"{key} = {_toml(known[key])}" for key in _ORDER if known.get(key) is not None]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / SETTINGS).open("x", encoding="utf-8") as file:
            file.write(_TEXT.format(model="\n".join(lines), strategy="direct"))
    except FileExistsError:
        raise Conflict(f"{folder / SETTINGS} has come meanwhile; run the command again, it will be followed") from None
    return load_project(folder)


def _toml(value: Any) -> str:
    """A text or a list of texts; JSON's spelling of them is TOML's too, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""How far the year has been lived, kept on disk after every day, so that a killed demo goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flyball.demo.story import Spent
from flyball.store import Home, read_json, write_json

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the demo of one home stands."""

    #: what it was started with; other settings mean another demo.
    settings: Mapping[str, Any]
    #: days lived to their end.
    days_done: int
    finished: bool
    spent: Spent

    def day_lived(self, spent: Spent) -> Progress:
        return replace(self, days_done=self.days_done + 1, spent=self.spent + spent)


def path_of(home: Home) -> Path:
    return home.path / "demo" / "progress.json"


def read_progress(home: Home) -> Progress | None:
    """None when no demo was begun here, or by a release that kept it otherwise."""
    path = path_of(home)
    if not path.exists():
        return None
    value = read_json(path)
    if value.pop("format", None) != FORMAT:
        return None
    return Progress(**{**value, "spent": Spent(**value["spent"])})


def write_progress(home: Home, progress: Progress) -> None:
    write_json(path_of(home), {"format": FORMAT, **asdict(progress)})

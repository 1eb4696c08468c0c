"""What is kept about where a version comes from and what became of it: its run, its files, its periods, its traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flyball.cli.show import minute, span
from flyball.dashboard.records import Tenure
from flyball.errors import NotFound
from flyball.pipeline.runs import RunRecord, StepRecord, find_run, steps_of
from flyball.registry.records import Lineage, Version
from flyball.store import Database, Home
from flyball.store.files import read_json

#: a bundle's list of its files with their digests (flyball.engine.bundle.MANIFEST; importing that loads numpy).
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A stretch of decision time in which one version was live."""

    start: datetime
    #: None: it still is.
    until: datetime | None
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a version has answered, in the lake; event times."""

    answered: int
    first: datetime | None
    last: datetime | None
    #: rows it scored as a shadow.
    shadowed: int


def run_of(database: Database, version: Version) -> tuple[RunRecord | None, tuple[StepRecord, ...]]:
    """The run that made it, with its steps; None where no such run is kept."""
    try:
        return find_run(database, version.lineage.run), steps_of(database, version.lineage.run)
    except NotFound:
        return None, ()


def source_of(lineage: Lineage, run: RunRecord | None, steps: Sequence[StepRecord]) -> str | None:
    """Where its rows come from: as its lineage says, else the step that first gave a table, and the window it was given."""
    kept = getattr(lineage, "sources", None)
    if kept:
        items = kept.items() if isinstance(kept, Mapping) else enumerate(kept)
        return "; ".join(_words(name, item) for name, item in items)
    if lineage.adopted is not None:
        return f"the reference table {lineage.adopted['reference']}"
    table = next((item for item in steps if item.artifact and item.artifact.rows is not None), None)
    if run is None or table is None or table.artifact is None:
        return None
    return (
        f"step {table.name}: {table.artifact.rows:,} rows, SHA-256 {table.artifact.sha256[:12]}…, "
        f"given the window {span(run.window.start, run.window.end)}"
    )


def _words(name: object, item: object) -> str:
    said = ", ".join(f"{key} {value}" for key, value in item.items()) if isinstance(item, Mapping) else str(item)
    return said if isinstance(name, int) else f"{name} {said}"


def artifacts_of(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The files of a bundle, each with its bytes and SHA-256, as its manifest says; None where there is none to read."""
    try:
        files: dict[str, dict[str, Any]] = read_json(folder / MANIFEST)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return files


def periods(history: Sequence[Tenure], number: int) -> list[Period]:
    """When a version was live, oldest first; deployments that only change the shadows do not end a period."""
    found: list[Period] = []
    joined = False
    for tenure in reversed(history):
        if tenure.version != number:
            joined = False
            continue
        if joined:
            found[-1] = Period(start=found[-1].start, until=tenure.until, who=found[-1].who, why=found[-1].why)
        else:
            found.append(Period(start=tenure.start, until=tenure.until, who=tenure.who, why=tenure.why))
        joined = True
    return found


def said(found: Iterable[Period]) -> list[str]:
    """`2013-04-02 12:00Z .. now, by flyball: better`"""
    return [
        f"{minute(item.start)} .. {minute(item.until) if item.until else 'now'}, by {item.who}: {item.why}"
        for item in found
    ]


def traffic(home: Home, version: Version) -> Traffic:
    """What the version has answered so far, counted in the lake."""
    from flyball.journal.lake import connect  # DuckDB and pyarrow: `--help` does without

    counted = "SELECT count(*), min(timestamp)::VARCHAR, max(timestamp)::VARCHAR FROM {} WHERE version = ?"
    with closing(connect(home, version.model)) as lake:
        answered, first, last = lake.execute(counted.format("predictions"), [version.number]).fetchone()
        shadowed, _, _ = lake.execute(counted.format("shadow"), [version.number]).fetchone()
    return Traffic(answered=answered, first=_moment(first), last=_moment(last), shadowed=shadowed)


def _moment(text: str | None) -> datetime | None:
    """As DuckDB writes it, in UTC: fetching times as such needs a package that is not asked for otherwise."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)

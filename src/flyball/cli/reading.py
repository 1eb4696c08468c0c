"""What is kept about one version: its gate's verdict, the decisions that name it, its turns of being live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from flyball.dashboard.records import Tenure
from flyball.registry.codec import FORMAT, load_verdict
from flyball.registry.decisions import Decision, decisions
from flyball.registry.records import Verdict, Version
from flyball.store import Database

#: how many of a model's decisions are looked through for those about one version.
DEEPEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A stretch of decision time in which one version was live."""

    start: datetime
    #: None: it still is.
    until: datetime | None
    who: str
    why: str


def kept_verdict(database: Database, version: Version) -> Verdict | None:
    """The gate's verdict on a version; None if its gate left none."""
    for item in decisions(database, version.model, kind="gate", limit=DEEPEST):
        if item.evidence.get("run") == version.lineage.run:
            return load_verdict(orjson.dumps({"format": FORMAT, **item.evidence}).decode())
    return None


def about(database: Database, version: Version) -> list[Decision]:
    """The decisions that name a version, by its number or by the run that made it, and what was found wrong with windows
    it answered in; oldest first."""
    names = (version.lineage.run, f"v{version.number}")
    found = decisions(database, version.model, limit=DEEPEST)
    return [
        item
        for item in reversed(found)
        if item.subject in names or item.evidence.get("run") == names[0] or _found_wrong(item, version.number)
    ]


def _found_wrong(item: Decision, number: int) -> bool:
    wrong = item.kind == "diagnosis" and item.verdict not in ("nothing", "cannot_judge")
    return wrong and item.evidence.get("version") == number


def turns(history: Sequence[Tenure], number: int) -> list[Tenure]:
    """The deployments that made a version live, or put another in its place; oldest first, as `history` is newest first."""
    found, was = [], None
    for tenure in reversed(history):
        if number in (was, tenure.version) and was != tenure.version:
            found.append(tenure)
        was = tenure.version
    return found


def periods(moves: Sequence[Tenure], number: int) -> list[Period]:
    """When a version was live, oldest first (`moves`: newest first); deployments that only change shadows end no period."""
    found: list[Period] = []
    before: int | None = None
    for tenure in reversed(moves):
        if tenure.version == number and before == number:
            found[-1] = replace(found[-1], until=tenure.until)
        elif tenure.version == number:
            found.append(Period(start=tenure.start, until=tenure.until, who=tenure.who, why=tenure.why))
        before = tenure.version
    return found

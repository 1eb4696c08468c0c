"""What one beat has to look at, by what the database says, before the lake is opened.

What came since is told by the lake's files: a name that was not read yet is news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from flyball.journal.layout import date_of, lake_files
from flyball.monitor.question import Question
from flyball.monitor.windows import Window, due_windows
from flyball.project.records import Project
from flyball.registry import live
from flyball.store import Database, Home, moment, stamp

#: windows judged for the first time in one beat: a loop that was away for years catches up in small steps.
MOST_AT_ONCE = 60
#: news is looked for this often; what came meanwhile is found then.
NEWS_EVERY = timedelta(minutes=10)
#: windows, besides those within the label's delay, that news is looked for in first.
NEAR = 2
#: for how long an outcome without a window of its own is still looked for after the label's delay.
OPEN_END_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """Windows and news, as of one moment."""

    question: Question
    now: datetime
    #: when the first version went live.
    first: datetime
    #: windows that ended before are not judged again; news of what was asked since `near` is looked for first.
    since: datetime
    near: datetime
    #: the lake's files that matter, and those of them that were not read yet.
    files: frozenset[str]
    fresh: frozenset[str]
    #: windows that were judged, those among them in which something has matured, and those never judged.
    known: tuple[Window, ...]
    matured: tuple[Window, ...]
    closed: tuple[Window, ...]
    #: start of an immature window -> by when it was last judged.
    shown: Mapping[datetime, datetime]


def agenda_of(home: Home, database: Database, project: Project, now: datetime) -> Agenda | None:
    """None before the first version is live."""
    question = question_of(project)
    past = live.history(database, question.model)
    if not past:
        return None
    settings, zone = project.monitor, project.pipeline.timezone
    since = now - lookback(project)
    files = _files(home, question.model, since)
    known = judged_windows(database, question.model)
    last = max((end for _, end in known), default=None)
    return Agenda(
        question=question,
        now=now,
        first=past[0].at,
        since=since,
        # Most news is of what was asked lately, and whose labels come in their time.
        near=now - timedelta(seconds=settings.label_delay_s + NEAR * settings.window_s),
        files=frozenset(files),
        fresh=frozenset(_news(database, question.model, files, now)),
        known=tuple(known),
        matured=tuple(_due(database, question.model, now)),
        closed=tuple(due_windows(past[0].at, last, now, settings.window_s, 0, zone)[:MOST_AT_ONCE]),
        shown=_shown(database, question.model),
    )


def question_of(project: Project) -> Question:
    """What a project's windows are judged by."""
    return Question(
        model=project.model.name,
        task=project.model.task,
        rule=project.retrain.performance,
        confidence=project.gate.confidence,
        positive=project.model.positive,
        primary=project.model.primary_metric,
        slices=project.monitor.slices,
        outcomes=project.outcomes,
        label_delay_s=project.monitor.label_delay_s,
        false_alarms=project.monitor.false_alarms_per_window,
    )


def lookback(project: Project) -> timedelta:
    """How old a window may be and still be judged again: the label's delay, and the longest outcome's window."""
    windows = [OPEN_END_S if item.window_s is None else item.window_s for item in project.outcomes]
    return timedelta(seconds=project.monitor.label_delay_s + max(windows) + project.monitor.window_s)


def _files(home: Home, model: str, since: datetime) -> set[str]:
    """The lake's files that may hold news of windows from `since` on."""
    first = date_of(since - timedelta(days=1))
    return {*lake_files(home, "predictions", model, first), *lake_files(home, "outcomes", model, first)}


def _news(database: Database, model: str, files: set[str], now: datetime) -> set[str]:
    """Those of the files that were not read yet; none where news was looked for a moment ago."""
    row = database.one("SELECT files, at FROM lake_read WHERE model = :model", model=model)
    if row is None:
        return files
    if timedelta(0) <= now - moment(row["at"]) < NEWS_EVERY:
        return set()
    return files - set(orjson.loads(row["files"]))


def judged_windows(database: Database, model: str) -> list[Window]:
    """Windows whose performance was judged, oldest first."""
    rows = database.all(
        "SELECT start, ends FROM \"window\" WHERE model = :model AND kind = 'performance' ORDER BY start", model=model
    )
    return [(moment(row["start"]), moment(row["ends"])) for row in rows]


def _due(database: Database, model: str, now: datetime) -> list[Window]:
    """Windows in which something has matured since they were judged."""
    rows = database.all(
        "SELECT start, ends FROM \"window\" WHERE model = :model AND kind = 'performance' AND due_at <= :now",
        model=model,
        now=stamp(now),
    )
    return [(moment(row["start"]), moment(row["ends"])) for row in rows]


def _shown(database: Database, model: str) -> dict[datetime, datetime]:
    """Start of each immature window -> by when it was last judged."""
    rows = database.all(
        "SELECT start, evidence FROM \"window\" WHERE model = :model AND kind = 'performance' AND mature = 0",
        model=model,
    )
    return {moment(row["start"]): moment(orjson.loads(row["evidence"])["known_by"]) for row in rows}

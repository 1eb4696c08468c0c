"""Keeps every closed window's performance up to date: first immature, then mature, and again when late news comes.

The windows that news may change are looked for row by row and judged again, as far back as `agenda.lookback` says; what is
too late for that is told, and counted by a backfill.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

import orjson
import pyarrow as pa

from flyball.journal import news
from flyball.journal.within import within
from flyball.loop.agenda import Agenda, agenda_of, judged_windows, question_of
from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.calm import calm
from flyball.monitor.answered import Answered, answered, groups
from flyball.monitor.labelled import watch_performance
from flyball.monitor.performance import PerformanceVerdict
from flyball.monitor.question import Question
from flyball.monitor.windows import Window, due_windows, window_name
from flyball.project.records import Project
from flyball.registry import live
from flyball.registry.decisions import decide
from flyball.store import Database, Home, moment, stamp, utcnow
from flyball.store.ids import derived_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What the lake holds of it."""

    #: each window's predictions with their outcomes, in time order; the first are read, the others as they are asked for.
    rows: Iterator[Answered]
    #: whether some of the news is about predictions that are no longer judged again.
    strangers: bool


def keep_performance(
    home: Home, database: Database, project: Project, *, now: datetime, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Judge what has closed, what has matured, and what news has come for; then open or end the alert.

    `meanwhile` is done on this thread while the lake is read on another, which takes about as long as judging drift.
    """
    agenda = agenda_of(home, database, project, now)
    if agenda is None:
        meanwhile()
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_looked, home, agenda)
        meanwhile()
        looked = coming.result()
    question = agenda.question
    _alert(database, question, _judged_by(home, database, question, looked.rows))
    if agenda.fresh:
        if looked.strangers:
            _tell_too_late(home, database, question.model, agenda.fresh, agenda.since, now=now)
        _remember(database, question.model, agenda.files, now)


def _looked(home: Home, agenda: Agenda) -> _Looked:
    due = _served({*agenda.matured, *agenda.closed}, agenda.first)
    if agenda.fresh and len(list(groups(due))) == 1:
        # On most days all news is about windows that are judged anyway, as they close or mature.
        ordinary = list(answered(home, agenda.question, due, agenda.now))
        if _is_all_of(home, agenda, ordinary):
            return _Looked(rows=iter(ordinary), strangers=False)
    touched, strangers = _touched(home, agenda)
    windows = _served({*due, *_worth(agenda, touched)}, agenda.first)
    rows = answered(home, agenda.question, windows, agenda.now)
    first = next(rows, None)
    return _Looked(rows=rows if first is None else chain([first], rows), strangers=strangers)


def _is_all_of(home: Home, agenda: Agenda, read: Sequence[Answered]) -> bool:
    """Whether the news is about predictions in these windows alone, of all that are judged."""
    windows = [window for window in (*agenda.known, *agenda.closed) if window[1] > agenda.since]
    start, end = min(windows)[0], max(windows)[1]
    if read[-1].window[1] != end:
        return False
    label = agenda.question.label.name
    asked = pa.concat_tables([one.told[label].select(["id", "key", "timestamp"]) for one in read])
    return within(home, agenda.question.model, agenda.fresh, asked, start, end)


def backfill(
    home: Home, database: Database, project: Project, *, since: datetime | None, now: datetime
) -> list[tuple[Window, PerformanceVerdict]]:
    """Judge every closed window again, from `since` or the first on, by all that is known at `now`.

    Doing it twice changes nothing. No alert is opened or ended: the past is no news.
    """
    question = question_of(project)
    past = live.history(database, question.model)
    if not past:
        return []
    known = [window for window in judged_windows(database, question.model) if since is None or window[1] > since]
    last = max((end for _, end in judged_windows(database, question.model)), default=None)
    settings = project.monitor
    missing = due_windows(past[0].at, last, now, settings.window_s, 0, project.pipeline.timezone)
    wanted = _served({*known, *(item for item in missing if since is None or item[1] > since)}, past[0].at)
    return list(_judged_by(home, database, question, answered(home, question, wanted, now)).items())


def _served(windows: set[Window], first: datetime) -> list[Window]:
    """Those of the windows at whose end a version was live, in time order: each is compared with those before it."""
    return [window for window in sorted(windows) if first <= window[1]]


def _judged_by(
    home: Home, database: Database, question: Question, rows: Iterable[Answered]
) -> dict[Window, PerformanceVerdict]:
    return {one.window: watch_performance(database, home, question, one, recorded_at=utcnow()) for one in rows}


def _remember(database: Database, model: str, files: Collection[str], now: datetime) -> None:
    """Written last: a loop killed before does it over."""
    with database.write() as tx:
        tx.run(
            "INSERT INTO lake_read (model, files, at) VALUES (:model, :files, :at)"
            " ON CONFLICT (model) DO UPDATE SET files = excluded.files, at = excluded.at",
            model=model,
            files=orjson.dumps(sorted(files)).decode(),
            at=stamp(now),
        )


def _touched(home: Home, agenda: Agenda) -> tuple[list[Window], bool]:
    """Judged windows, not older than `since`, that news has come for; and whether some of it is about older predictions.

    Before the first judgement nothing is older.
    """
    open_still = [window for window in agenda.known if window[1] > agenda.since]
    if not open_still or not agenda.fresh:
        return [], bool(agenda.known and agenda.fresh)
    start, end = open_still[0][0], open_still[-1][1]
    times, strangers = news.touched(home, agenda.question.model, agenda.fresh, start, end, near=agenda.near)
    minute = timedelta(minutes=1)
    return [
        (start, end) for start, end in open_still if any(start < at + minute and at < end for at in times)
    ], strangers


def _worth(agenda: Agenda, touched: list[Window]) -> list[Window]:
    """Of the windows that news has come for those to judge now: an immature one alarms nobody, and is shown anew only after
    a window's length.
    """
    shown, now = agenda.shown, agenda.now
    return [(start, end) for start, end in touched if start not in shown or now - shown[start] >= end - start]


def _tell_too_late(
    home: Home, database: Database, model: str, fresh: Collection[str], since: datetime, *, now: datetime
) -> None:
    """Record outcomes for predictions that are no longer judged again."""
    count = news.too_late(home, model, fresh, since)
    if not count:
        return
    with database.write() as tx:
        decide(
            tx,
            model=model,
            at=now,
            kind="performance",
            subject=f"before {since:%Y-%m-%d}",
            verdict="too_late",
            reason=f"{count:,} outcomes are of predictions before {since:%Y-%m-%d}, whose windows are no longer judged again; "
            f"`flyball monitor {model} --backfill` counts them",
            evidence={"outcomes": count, "before": stamp(since)},
            dedup=f"performance:{model}:too-late:{derived_id(*sorted(fresh))}",
        )


def _alert(database: Database, question: Question, judged: dict[Window, PerformanceVerdict]) -> None:
    """The newest mature window speaks for the model; one that is still immature, or of long ago, does not."""
    model = question.model
    row = database.one(
        "SELECT start, ends FROM \"window\" WHERE model = :model AND kind = 'performance' AND mature = 1"
        " ORDER BY start DESC LIMIT 1",
        model=model,
    )
    window = None if row is None else (moment(row["start"]), moment(row["ends"]))
    if window is None or window not in judged:
        return
    verdict, day = judged[window], window_name(window)
    deployed = live.live_at(database, model, window[1])
    with database.write() as tx:
        if verdict.verdict == "below" and deployed is not None:
            open_alert(
                tx,
                model=model,
                name="performance",
                severity="critical",
                title=f"{model}: performance below its promise on {day}: {verdict.reason}; live: v{deployed.live}; "
                f"back: `flyball rollback {model}`",
                evidence={
                    "day": day,
                    "version": deployed.live,
                    "reason": verdict.reason,
                    "metric": question.primary,
                },
                at=window[1],
            )
        elif verdict.verdict == "kept" and calm(database, model, "performance", ("kept",)):
            end_alert(tx, model=model, name="performance", at=window[1], why=f"{model}: promise kept on {day}")

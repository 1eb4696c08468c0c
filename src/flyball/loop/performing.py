"""Keeps every closed window's performance up to date: first immature, then mature, and again when late news comes.

What came since is told by the lake's files: a name that was not read yet is news. The windows it may change are looked for
row by row and judged again, as far back as `lookback` says; what is too late for that is told, and counted by a backfill.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson

from flyball.journal import news
from flyball.journal.layout import date_of, lake_files
from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.calm import calm
from flyball.monitor.answered import answered
from flyball.monitor.labelled import watch_performance
from flyball.monitor.performance import PerformanceVerdict
from flyball.monitor.question import Question
from flyball.monitor.windows import Window, due_windows, window_name
from flyball.project.records import Project
from flyball.registry import live
from flyball.registry.decisions import decide
from flyball.store import Database, Home, moment, stamp, utcnow
from flyball.store.ids import derived_id

#: windows judged for the first time in one beat: a loop that was away for years catches up in small steps.
MOST_AT_ONCE = 60
#: news is looked for this often; what came meanwhile is found then.
NEWS_EVERY = timedelta(minutes=10)
#: windows, besides those within the label's delay, that news is looked for in first.
NEAR = 2
#: for how long an outcome without a window of its own is still looked for after the label's delay.
OPEN_END_S = 30 * 86_400.0


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


def keep_performance(home: Home, database: Database, project: Project, *, now: datetime) -> None:
    """Judge what has closed, what has matured, and what news has come for; then open or end the alert."""
    question = question_of(project)
    past = live.history(database, question.model)
    if not past:
        return
    settings, zone = project.monitor, project.pipeline.timezone
    since = now - lookback(project)
    files = _files(home, question.model, since)
    fresh = _news(database, question.model, files, now)
    known = _judged(database, question.model)
    last = max((end for _, end in known), default=None)
    closed = due_windows(past[0].at, last, now, settings.window_s, 0, zone)[:MOST_AT_ONCE]
    # Most news is of what was asked lately, and whose labels come in their time.
    near = now - timedelta(seconds=settings.label_delay_s + NEAR * settings.window_s)
    touched, strangers = _touched(home, question.model, known, fresh, since, near)
    again = {*_due(database, question.model, now), *_worth(database, question.model, touched, now)}
    _alert(database, question, _judge(home, database, question, {*again, *closed}, now))
    if fresh:
        if strangers:
            _tell_too_late(home, database, question.model, fresh, since, now=now)
        _remember(database, question.model, files, now)


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
    known = [window for window in _judged(database, question.model) if since is None or window[1] > since]
    last = max((end for _, end in _judged(database, question.model)), default=None)
    settings = project.monitor
    missing = due_windows(past[0].at, last, now, settings.window_s, 0, project.pipeline.timezone)
    wanted = {*known, *(item for item in missing if since is None or item[1] > since)}
    return list(_judge(home, database, question, wanted, now).items())


def _judge(
    home: Home, database: Database, question: Question, windows: set[Window], now: datetime
) -> dict[Window, PerformanceVerdict]:
    """Those of the windows at whose end a version was live, in time order: each is compared with those before it."""
    wanted = [window for window in sorted(windows) if live.live_at(database, question.model, window[1]) is not None]
    return {
        rows.window: watch_performance(database, home, question, rows, recorded_at=utcnow())
        for rows in answered(home, question, wanted, now)
    }


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


def _remember(database: Database, model: str, files: set[str], now: datetime) -> None:
    """Written last: a loop killed before does it over."""
    with database.write() as tx:
        tx.run(
            "INSERT INTO lake_read (model, files, at) VALUES (:model, :files, :at)"
            " ON CONFLICT (model) DO UPDATE SET files = excluded.files, at = excluded.at",
            model=model,
            files=orjson.dumps(sorted(files)).decode(),
            at=stamp(now),
        )


def _judged(database: Database, model: str) -> list[Window]:
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


def _touched(
    home: Home, model: str, known: list[Window], fresh: set[str], since: datetime, near: datetime
) -> tuple[list[Window], bool]:
    """Judged windows, not older than `since`, that news has come for; and whether some of it is about older predictions.

    Before the first judgement nothing is older.
    """
    open_still = [window for window in known if window[1] > since]
    if not open_still or not fresh:
        return [], bool(known and fresh)
    times, strangers = news.touched(home, model, fresh, open_still[0][0], open_still[-1][1], near=near)
    minute = timedelta(minutes=1)
    return [
        (start, end) for start, end in open_still if any(start < at + minute and at < end for at in times)
    ], strangers


def _worth(database: Database, model: str, touched: list[Window], now: datetime) -> list[Window]:
    """Of the windows that news has come for those to judge now: an immature one alarms nobody, and is shown anew only after
    a window's length.
    """
    rows = database.all(
        "SELECT start, evidence FROM \"window\" WHERE model = :model AND kind = 'performance' AND mature = 0",
        model=model,
    )
    last = {moment(row["start"]): moment(orjson.loads(row["evidence"])["known_by"]) for row in rows}
    return [(start, end) for start, end in touched if start not in last or now - last[start] >= end - start]


def _tell_too_late(
    home: Home, database: Database, model: str, fresh: set[str], since: datetime, *, now: datetime
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

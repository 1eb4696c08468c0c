"""Verbs that look at what the loop saw and decided: monitor, decisions, alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import click

from flyball.cli.filed import judge_file, refuse_beside_file, render_features
from flyball.cli.options import as_time, at_place, json_option, limit_option
from flyball.cli.place import Place, open_home, project_of
from flyball.cli.show import interval, progress, put, table
from flyball.dashboard.performances import PerformanceRow, performance_rows
from flyball.dashboard.reads import alerts as read_alerts
from flyball.dashboard.reads import daily_metrics, primary_metric, require_model, windows
from flyball.dashboard.records import DayMetric, Window
from flyball.registry.codec import plain
from flyball.registry.decisions import Decision, Kind
from flyball.registry.decisions import decisions as read_decisions
from flyball.store import Database, utcnow

Metrics = Mapping[str, Sequence[DayMetric]]

#: how far back a named day is looked for, in windows.
DEEPEST = 100_000


@click.command()
@click.argument("model")
@click.option("--date", "day", metavar="D", callback=as_time, help="This day's windows, feature by feature.")
@click.option("--drift", "kind", flag_value="drift", help="Drift windows only.")
@click.option("--performance", "kind", flag_value="performance", help="Performance: by version, variant and slice.")
@click.option("--backfill", is_flag=True, help="First judge every closed window again, by all outcomes known now.")
@click.option("--since", metavar="D", callback=as_time, help="With --backfill: windows from then on only.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Judge the rows of this Parquet file, a column a feature, against what the live version was trained on.",
)
@limit_option
@at_place
@json_option
def monitor(
    place: Place,
    model: str,
    day: datetime | None,
    kind: str | None,
    backfill: bool,
    since: datetime | None,
    file: Path | None,
    limit: int,
    as_json: bool,
) -> None:
    """The windows of MODEL that were judged: how far its inputs have moved, and whether it is still right.

    Figures of a window whose labels may still come are shown as immature: they neither alarm nor gate. With --file nothing
    is written, and no alert is raised.
    """
    if file is not None:
        refuse_beside_file({"--date": day, f"--{kind}": kind, "--backfill": backfill, "--since": since})
        judge_file(place, model, file, as_json=as_json)
        return
    if since is not None and not backfill:
        raise click.UsageError("--since goes with --backfill")
    database = open_home(place)
    require_model(database, model)
    if backfill:
        _backfill(place, database, model, since)
    found = windows(database, model, kind=kind, limit=limit if day is None else DEEPEST)
    if day is not None:
        found = tuple(item for item in found if item.day == day.date())
    metrics = daily_metrics(database, model)
    document = {"model": model, "windows": [{**plain(item), "metrics": _metrics(item, metrics)} for item in found]}
    if kind == "performance" and day is None:
        rows = performance_rows(database, model, metric=primary_metric(database, model), limit=limit)
        put({**document, "performance": [plain(item) for item in rows]}, render_performance(rows), as_json=as_json)
        return
    subject = day.date().isoformat() if day is not None else None
    diagnosed = read_decisions(database, model, kind="diagnosis", subject=subject, limit=2 * limit)
    text = render_windows(found, metrics) if day is None else render_day(found, metrics)
    wrong = [item for item in diagnosed if day is not None or item.verdict not in ("nothing", "cannot_judge")]
    put(
        {**document, "diagnoses": [plain(item) for item in diagnosed]},
        "\n".join([text, *render_diagnoses(wrong)]),
        as_json=as_json,
    )


@click.command()
@click.argument("model")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Of this kind only.")
@limit_option
@at_place
@json_option
def decisions(place: Place, model: str, kind: Kind | None, limit: int, as_json: bool) -> None:
    """What was decided about MODEL and why, newest first: retrains done and not done, gates, rollouts, drift."""
    database = open_home(place)
    require_model(database, model)
    found = read_decisions(database, model, kind=kind, limit=limit)
    put({"model": model, "decisions": [plain(item) for item in found]}, render_decisions(found), as_json=as_json)


@click.command()
@click.option("--all", "ended", is_flag=True, help="Those that have ended too.")
@limit_option
@at_place
@json_option
def alerts(place: Place, ended: bool, limit: int, as_json: bool) -> None:
    """Open alerts, the newest first."""
    from flyball.loop.deliveries import possible_doubles, undelivered

    database = open_home(place)
    found = read_alerts(database, limit=limit, still_open=not ended)
    waiting = undelivered(database)
    text = table(
        ("ID", "SINCE", "SEVERITY", "MODEL", "ALERT", "WHAT", "ENDED"),
        [(item.id, item.since, item.severity, item.model, item.name, item.title, item.resolved_at) for item in found],
        empty="no open alert",
    )
    if waiting:
        lines = [(item.channel, item.status, item.attempts, item.next_at, item.error) for item in waiting]
        text += "\n\nnot delivered:\n" + table(("CHANNEL", "STATUS", "TRIES", "NEXT", "WHY"), lines, empty="")
    document = {
        "alerts": [plain(item) for item in found],
        "undelivered": [plain(item) for item in waiting],
        "possible_doubles": possible_doubles(database),
    }
    put(document, text, as_json=as_json)


def render_windows(found: Sequence[Window], metrics: Metrics) -> str:
    """A line a window: its verdict, and what made it."""
    return table(
        ("DAY", "KIND", "VERSION", "ROWS", "VERDICT", "WHAT"),
        [
            (item.day, item.kind, f"v{item.version}", item.rows, item.verdict, _what(item, _of_day(item, metrics)))
            for item in found
        ],
        empty="no window was judged yet; `flyball up` judges each when it has closed and its labels are due",
    )


def render_performance(rows: Sequence[PerformanceRow]) -> str:
    """A line a day, version, variant, slice and metric, the newest first."""
    text = table(
        ("DAY", "VERSION", "VARIANT", "SLICE", "METRIC", "VALUE", "LABELS", "ROWS", "MATURE", "ESTIMATED"),
        [
            (
                item.day,
                f"v{item.version}",
                item.variant,
                item.slice or "all",
                item.metric,
                _ends(item.value, item.low, item.high),
                item.labels,
                item.answered,
                item.mature,
                _ends(item.estimated, item.estimated_low, item.estimated_high),
            )
            for item in rows
        ],
        empty="no window was judged yet; `flyball up` judges each when it has closed",
    )
    if not any(item.estimated is not None for item in rows):
        return text
    return f"{text}\nESTIMATED is made without labels, from what scores meant on held-out rows: it cannot see concept drift."


def _ends(value: float | None, low: float | None, high: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.4g}" if low is None or high is None else interval(value, low, high)


def _backfill(place: Place, database: Database, model: str, since: datetime | None) -> None:
    from flyball.journal.carry import carry  # slow to import, and only needed here
    from flyball.loop.performing import backfill

    project, now = project_of(database, model), utcnow()
    carry(place.home, database, now=now)
    judged = backfill(place.home, database, project, since=since, now=now)
    progress(f"{len(judged):,} windows of {model} judged again")


def render_day(found: Sequence[Window], metrics: Metrics) -> str:
    """One day in full: every feature with its statistics and bounds, every metric with its interval."""
    parts = []
    for item in found:
        measured = [(name, *_interval(point)) for name, point in _of_day(item, metrics)]
        parts.append(f"{item.day}  {item.kind}: {item.verdict}, v{item.version}, {item.rows:,} rows")
        parts.append(render_features(item.features))
        parts.append(table(("METRIC", "VALUE", "ROWS"), measured, empty=""))
    return "\n".join(part for part in parts if part) or "no window of that day was judged"


def render_diagnoses(found: Sequence[Decision]) -> list[str]:
    """A line a diagnosis, the oldest first."""
    return [f"{item.subject}  {item.reason}" for item in reversed(found)]


def render_decisions(found: Sequence[Decision]) -> str:
    """A line a decision."""
    return table(
        ("AT", "KIND", "ABOUT", "VERDICT", "REASON"),
        [(item.at, item.kind, item.subject, item.verdict, item.reason) for item in found],
        empty="nothing was decided yet",
    )


def _what(window: Window, measured: Sequence[tuple[str, DayMetric]]) -> str:
    if window.kind == "performance":
        return ", ".join(f"{name} {_interval(point)[0]}" for name, point in measured)
    moved = [item.feature for item in window.features if item.verdict == "drift"]
    steady = sum(item.verdict == "steady" for item in window.features)
    return f"{', '.join(moved)} moved, {steady} steady" if moved else f"{steady} features steady"


def _of_day(window: Window, metrics: Metrics) -> list[tuple[str, DayMetric]]:
    if window.kind != "performance":
        return []
    return [
        (name, point)
        for name, points in metrics.items()
        for point in points
        if (point.day, point.version) == (window.day, window.version)
    ]


def _metrics(window: Window, metrics: Metrics) -> dict[str, Any]:
    return {
        name: {"value": point.value, "low": point.low, "high": point.high} for name, point in _of_day(window, metrics)
    }


def _interval(point: DayMetric) -> tuple[str, int]:
    if point.low is None or point.high is None:
        return f"{point.value:.4g}", point.rows
    return interval(point.value, point.low, point.high), point.rows

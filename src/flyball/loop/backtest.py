"""What would another rule have done? Replays the recorded history, alarms and governor, and writes nothing.

The lake's rows are judged again, each window against the version that was live when it closed. What a replay cannot
know it says: a retrain that never happened made no version, so every verdict is about the versions that really answered,
and no replayed candidate is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from flyball.journal import lake
from flyball.loop.governor import Past, Signal, cooled_down, rows_wanted, rule
from flyball.loop.importance import kept_importance
from flyball.loop.schedule import latest_slot
from flyball.monitor.diagnosis import by_inputs
from flyball.monitor.inputs import broken_inputs, judge_inputs
from flyball.monitor.performance import judge_performance
from flyball.monitor.windows import Window, due_windows, window_name
from flyball.pipeline.runs import runs_of
from flyball.project.records import Project
from flyball.registry import live
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.stats.profile_file import reference_from_bytes
from flyball.store import Database, Home, moment, stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How often a rule alarmed and retrained; names of windows, and when runs were decided."""

    #: windows whose inputs drifted, and those of them whose data were broken.
    drift: tuple[str, ...]
    broken: tuple[str, ...]
    #: windows that broke the promise.
    below: tuple[str, ...]
    retrains: tuple[datetime, ...]
    #: signals that were held back.
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What was, and what would have been."""

    model: str
    start: datetime
    end: datetime
    windows: int
    was: Outcome
    would: Outcome

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A window of the replay."""

    window: Window
    drift: bool
    #: diagnosed as broken, in a clause; None: whole.
    broken: str | None
    #: whether the diagnosis by inputs asks for a retrain.
    costly: bool


def backtest(home: Home, database: Database, project: Project, *, now: datetime) -> Backtest | None:
    """`project`, with its changed rules, over all that was recorded until `now`; None where no window was judged yet."""
    model, deployed = project.model.name, live.history(database, project.model.name)
    recorded = _recorded(database, model)
    if not deployed or not recorded:
        return None
    start, end = deployed[0].at, min(now, recorded[-1][1])
    windows = due_windows(start, None, end, project.monitor.window_s, 0, project.pipeline.timezone)
    inputs = [_judge(home, database, project, window) for window in windows]
    below = [window for window in windows if _is_below(home, database, project, window, now)]
    retrains, held = _govern(home, database, project, inputs, below, start, end)
    return Backtest(
        model=model,
        start=start,
        end=end,
        windows=len(windows),
        was=_was(database, model, end),
        would=Outcome(
            drift=tuple(window_name(item.window) for item in inputs if item.drift),
            broken=tuple(window_name(item.window) for item in inputs if item.broken),
            below=tuple(window_name(window) for window in below),
            retrains=tuple(retrains),
            held=held,
        ),
    )


def _recorded(database: Database, model: str) -> list[Window]:
    rows = database.all(
        "SELECT start, ends FROM \"window\" WHERE model = :model AND kind = 'drift' ORDER BY start", model=model
    )
    return [(moment(row["start"]), moment(row["ends"])) for row in rows]


def _was(database: Database, model: str, end: datetime) -> Outcome:
    rows = database.all(
        'SELECT kind, start, ends FROM "window" WHERE model = :model'
        " AND (kind = 'drift' AND verdict = 'drift' OR kind = 'performance' AND verdict = 'below') ORDER BY start",
        model=model,
    )
    named = [(row["kind"], window_name((moment(row["start"]), moment(row["ends"])))) for row in rows]
    broken = database.all(
        "SELECT DISTINCT subject FROM decision WHERE model = :model AND kind = 'diagnosis' AND verdict = 'broken_data'"
        " ORDER BY subject",
        model=model,
    )
    held = database.one(
        "SELECT count(*) AS n FROM decision WHERE model = :model AND kind = 'retrain' AND verdict = 'hold'", model=model
    )
    runs = [run for run in runs_of(database, model) if run.reason not in ("first", "manual") and run.status != "failed"]
    return Outcome(
        drift=tuple(name for kind, name in named if kind == "drift"),
        broken=tuple(row["subject"] for row in broken),
        below=tuple(name for kind, name in named if kind == "performance"),
        retrains=tuple(sorted(run.decided_at for run in runs if run.decided_at <= end)),
        held=int(held["n"]) if held else 0,
    )


def _live(database: Database, model: str, at: datetime) -> Version | None:
    deployed = live.live_at(database, model, at)
    return None if deployed is None else version(database, model, deployed.live)


def _judge(home: Home, database: Database, project: Project, window: Window) -> _Judged:
    """As the loop judges a window that has closed."""
    serving = _live(database, project.model.name, window[1])
    profile: Path | None = None if serving is None else home.path / serving.bundle / "profile.json"
    if serving is None or profile is None or not profile.exists():
        return _Judged(window=window, drift=False, broken=None, costly=False)
    reference = reference_from_bytes(profile.read_bytes())
    rows = lake.predictions(home, project.model.name, *window)
    withheld = tuple(name for name, policy in project.columns.items() if policy != "keep")
    verdict = judge_inputs(
        reference, rows, version=serving.number, window=window, settings=project.monitor, withheld=withheld
    )
    faults = broken_inputs(reference, rows, verdict) if verdict.verdict == "drift" else ()
    found = by_inputs(verdict, faults, importance=kept_importance(home.path / serving.bundle))
    return _Judged(
        window=window,
        drift=verdict.verdict == "drift",
        broken=found.reason if found.cause == "broken_data" else None,
        costly=found.action == "retrain",
    )


def _is_below(home: Home, database: Database, project: Project, window: Window, now: datetime) -> bool:
    """By the outcomes that were known when the window was judged; by all known now where it never was."""
    mature = window[1] + timedelta(seconds=project.monitor.label_delay_s)
    if project.retrain.performance is None or mature > now:
        return False
    row = database.one(
        "SELECT evidence FROM \"window\" WHERE model = :model AND kind = 'performance' AND start = :start",
        model=project.model.name,
        start=stamp(window[0]),
    )
    known_by = moment(orjson.loads(row["evidence"])["known_by"]) if row else now
    scored: pa.Table = lake.scored(
        home, project.model.name, *window, known_by=known_by, positive=project.model.positive
    )
    verdict = judge_performance(
        scored,
        task=project.model.task,
        classes=None,
        rule=project.retrain.performance,
        confidence=project.gate.confidence,
    )
    return verdict.verdict == "below"


def _govern(
    home: Home,
    database: Database,
    project: Project,
    inputs: Sequence[_Judged],
    below: Sequence[Window],
    start: datetime,
    end: datetime,
) -> tuple[list[datetime], int]:
    """When the governor would have retrained, and how many signals it would have held."""
    settings, delay = project.retrain, timedelta(seconds=project.monitor.label_delay_s)
    asked: dict[datetime, list[Signal]] = {}
    for item in inputs:
        if item.drift and item.costly:
            name = window_name(item.window)
            asked.setdefault(item.window[1], []).append(Signal(trigger="drift", identity=name, why=f"drift on {name}"))
    for window in below:
        name = window_name(window)
        signal = Signal(trigger="performance", identity=name, why=f"promise broken on {name}")
        asked.setdefault(window[1] + delay, []).append(signal)
    for slot in _slots(project, start, end):
        asked.setdefault(slot, []).append(Signal(trigger="schedule", identity=f"{slot}", why="schedule"))
    came = _outcome_times(home, project.model.name, start, end) if "volume" in settings.on else []
    beats = sorted({*asked, *(item.window[1] for item in inputs)})
    first = next((run.decided_at for run in reversed(runs_of(database, project.model.name))), start)
    runs: list[datetime] = []
    held = volume_told = 0
    for now in beats:
        last = runs[-1] if runs else first
        since = now - timedelta(seconds=settings.budget_window_s)
        past = Past(
            last_run=last,
            runs_in_budget=sum(run > since for run in runs),
            in_flight=False,
            new_labels=bisect_right(came, now) - bisect_right(came, last) if came else settings.min_new_labels,
            broken=next((item.broken for item in reversed(inputs) if item.window[1] <= now), None),
        )
        signals = list(asked.get(now, ()))
        if cooled_down(past, settings, now) and (times := _multiples(database, project, past, now)) > volume_told:
            signals.append(Signal(trigger="volume", identity=f"{last} x{times}", why="new outcomes"))
            volume_told = times
        ruling = rule(signals, past, settings, now)
        if ruling is not None and ruling.act == "retrain":
            runs.append(now)
            volume_told = 0
        elif ruling is not None:
            held += len(signals)
    return runs, held


def _multiples(database: Database, project: Project, past: Past, now: datetime) -> int:
    """How often the rows that make a retrain have come since the last run."""
    serving = _live(database, project.model.name, now)
    if serving is None or "volume" not in project.retrain.on:
        return 0
    wanted = rows_wanted(project.retrain, serving.lineage.data_rows, last_refused=past.last_refused)
    return 0 if wanted is None else past.new_labels // wanted


def _slots(project: Project, start: datetime, end: datetime) -> Iterator[datetime]:
    """The schedule's slots between two times."""
    cron, zone = project.pipeline.schedule, project.pipeline.timezone
    at = start
    while cron is not None and at < end:
        # Days one by one: `latest_slot` answers the last one only.
        after, at = at, min(at + timedelta(hours=1), end)
        slot = latest_slot(cron, zone, after=after, now=at)
        if slot is not None:
            yield slot


def _outcome_times(home: Home, model: str, start: datetime, end: datetime) -> list[datetime]:
    return sorted(lake.outcomes(home, model, start, end)["timestamp"].to_pylist())

"""Reads of the tables that no lower room hands out as records: windows, daily metrics, alerts, rollouts, history."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path

import orjson

from flyball.dashboard.drifts import feature_drifts
from flyball.dashboard.records import Alert, DayMetric, Loop, Rollout, Tenure, Window
from flyball.errors import NotFound
from flyball.loop.leading import LEASE_S
from flyball.registry.codec import load_deployment
from flyball.registry.decisions import Decision
from flyball.registry.projects import model_names as model_names
from flyball.registry.projects import projects
from flyball.registry.projects import require_model as require_model
from flyball.stats.names import METRIC_NAMES
from flyball.store import Database, Row, moment

_DECISION = "SELECT id, model, at, kind, subject, verdict, reason, evidence FROM decision"

#: the first of these that was measured is shown when the project does not name its own.
_PREFERENCE = tuple(dict.fromkeys(name for names in METRIC_NAMES.values() for name in names))


def primary_metric(database: Database, model: str) -> str | None:
    """The metric to show first: the one the project names, else the first measured in the order of METRIC_NAMES.

    None before any measurement.
    """
    rows = database.all(
        "SELECT DISTINCT metric FROM metrics_daily WHERE model = :model AND basis = 'label'", model=model
    )
    measured = {row["metric"] for row in rows}
    directory = projects(database).get(model)
    declared = _declared_metric(directory / "flyball.toml") if directory else None
    wanted = (declared, *_PREFERENCE, *sorted(measured))
    return next((name for name in wanted if name in measured), None)


def daily_metrics(
    database: Database, model: str, *, metric: str | None = None, days: int | None = None
) -> dict[str, tuple[DayMetric, ...]]:
    """Metric -> its days, oldest first; `days`: only the last so many before the newest. Shadows are left out."""
    newest = database.one("SELECT max(date) AS newest FROM metrics_daily WHERE model = :model", model=model)
    since = None
    if days is not None and newest is not None and newest["newest"]:
        since = (_day(newest["newest"]) - timedelta(days=days - 1)).isoformat()
    rows = database.all(
        "SELECT version, date, metric, value, low, high, rows FROM metrics_daily WHERE model = :model"
        " AND variant <> 'shadow' AND slice = '' AND basis = 'label' AND value IS NOT NULL"
        " AND (:metric IS NULL OR metric = :metric)"
        " AND (:since IS NULL OR date >= :since) ORDER BY date, version",
        model=model,
        metric=metric,
        since=since,
    )
    verdicts = {item.day: item.verdict for item in windows(database, model, kind="performance")} if rows else {}
    found: dict[str, list[DayMetric]] = {}
    for row in rows:
        day = _day(row["date"])
        point = DayMetric(
            day=day,
            version=row["version"],
            value=row["value"],
            low=row["low"],
            high=row["high"],
            rows=row["rows"],
            verdict=verdicts.get(day),
        )
        found.setdefault(row["metric"], []).append(point)
    return {name: tuple(points) for name, points in found.items()}


def windows(database: Database, model: str, *, kind: str | None = None, limit: int = 400) -> tuple[Window, ...]:
    """The newest `limit` windows, oldest first."""
    rows = database.all(
        'SELECT kind, start, ends, version, verdict, rows, evidence FROM "window" WHERE model = :model'
        " AND (:kind IS NULL OR kind = :kind) ORDER BY start DESC, kind LIMIT :limit",
        model=model,
        kind=kind,
        limit=limit,
    )
    return tuple(_window(row) for row in reversed(rows))


def alerts(database: Database, *, model: str | None = None, limit: int = 200, still_open: bool = False) -> list[Alert]:
    """Open ones first, then newest first."""
    rows = database.all(
        "SELECT id, model, name, severity, since, resolved_at, title, evidence FROM alert"
        " WHERE (:model IS NULL OR model = :model) AND (NOT :still_open OR resolved_at IS NULL)"
        " ORDER BY resolved_at IS NOT NULL, since DESC LIMIT :limit",
        model=model,
        limit=limit,
        still_open=still_open,
    )
    return [_alert(row) for row in rows]


def newest_rollout(database: Database, model: str) -> Rollout | None:
    """The one under way, else the one that moved last."""
    row = database.one(
        "SELECT candidate, champion, status, started_at, moved_at FROM rollout WHERE model = :model"
        " ORDER BY status = 'shadow' DESC, moved_at DESC, id DESC LIMIT 1",
        model=model,
    )
    if row is None:
        return None
    return Rollout(**{**dict(row), "started_at": moment(row["started_at"]), "moved_at": moment(row["moved_at"])})


def history(database: Database, model: str) -> tuple[Tenure, ...]:
    """Every deployment, newest first."""
    rows = database.all(
        "SELECT generation, at, record, who, why FROM deployment WHERE model = :model ORDER BY generation DESC",
        model=model,
    )
    found, until = [], None
    for row in rows:
        record = load_deployment(row["record"], generation=row["generation"])
        tenure = Tenure(
            generation=record.generation,
            version=record.live,
            shadow=record.shadow,
            start=record.at,
            until=until,
            who=row["who"],
            why=row["why"],
        )
        found.append(tenure)
        until = record.at
    return tuple(found)


def decision(database: Database, number: int) -> Decision:
    """One decision with its evidence. Raises NotFound."""
    row = database.one(f"{_DECISION} WHERE id = :number", number=number)
    if row is None:
        raise NotFound(f"no decision {number} here; `flyball decisions MODEL` lists them")
    return _decision(row)


def notable_decisions(database: Database, model: str, *, limit: int) -> tuple[Decision, ...]:
    """Newest first, without the daily word that all is well, which would drown the others."""
    rows = database.all(
        f"{_DECISION} WHERE model = :model AND verdict NOT IN ('steady', 'kept', 'immature', 'nothing')"
        " ORDER BY at DESC, id DESC LIMIT :limit",
        model=model,
        limit=limit,
    )
    return tuple(_decision(row) for row in rows)


def last_turn(database: Database, model: str) -> Decision | None:
    """The last decision to do or not to do something; what a window looked like is none."""
    row = database.one(
        f"{_DECISION} WHERE model = :model AND kind NOT IN ('drift', 'performance', 'diagnosis')"
        " ORDER BY at DESC, id DESC LIMIT 1",
        model=model,
    )
    return None if row is None else _decision(row)


def loop(database: Database) -> Loop | None:
    """The loop's lease; None when no loop ever ran here, or when the last one ended in order."""
    row = database.one("SELECT holder, expires_at FROM lease WHERE name = 'loop'")
    if row is None:
        return None
    until = moment(row["expires_at"])
    return Loop(holder=row["holder"], renewed_at=until - timedelta(seconds=LEASE_S), expires_at=until)


def _day(window: str) -> date:
    """Of a window's name: its date, or its first minute where it is shorter than a day."""
    return date.fromisoformat(window[:10])


def _declared_metric(path: Path) -> str | None:
    """A project that cannot be read just now still has its page; `flyball check` says what is wrong with it."""
    try:
        model = tomllib.loads(path.read_text()).get("model", {})
    except (OSError, ValueError):
        return None
    return model.get("primary_metric") if isinstance(model, dict) else None


def _window(row: Row) -> Window:
    drifts = feature_drifts(orjson.loads(row["evidence"])) if row["kind"] == "drift" else ()
    start, ends = moment(row["start"]), moment(row["ends"])
    return Window(
        kind=row["kind"],
        day=(start + (ends - start) / 2).date(),
        start=start,
        ends=ends,
        version=row["version"],
        verdict=row["verdict"],
        rows=row["rows"],
        features=drifts,
    )


def _decision(row: Row) -> Decision:
    return Decision(**{**dict(row), "at": moment(row["at"]), "evidence": orjson.loads(row["evidence"])})


def _alert(row: Row) -> Alert:
    return Alert(
        **{
            **dict(row),
            "since": moment(row["since"]),
            "resolved_at": moment(row["resolved_at"]) if row["resolved_at"] else None,
            "evidence": orjson.loads(row["evidence"]),
        }
    )

"""What the pages and their JSON show, as frozen records. Times are aware UTC; a day is the window's own date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flyball.dashboard.performances import PerformanceRow
from flyball.registry.decisions import Decision
from flyball.registry.records import RuleResult, Stage, Version
from flyball.stats.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the live version answered, counted in the lake (the last seconds may still lie in the journal)."""

    #: newest day with answers.
    day: date
    #: rows answered on `day`.
    rows: int
    #: rows answered in the seven days that end with `day`.
    week_rows: int
    #: latency quantiles of the rows of `day`, milliseconds; None when no row recorded one.
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMetric:
    """One metric of one version on one day's rows whose outcomes are known."""

    day: date
    version: int
    value: float
    #: ends of the interval; None when it cannot be judged.
    low: float | None
    high: float | None
    #: rows with an outcome.
    rows: int
    #: the day's performance window: kept | below | immature | cannot_judge; None = not watched yet.
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The primary metric over time."""

    metric: str
    greater_is_better: bool
    #: oldest first; two on a day when two versions answered.
    days: tuple[DayMetric, ...]
    newest: DayMetric | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One drift statistic and the bound it is held against."""

    method: str
    value: float | None
    threshold: float | None
    #: whether this statistic alone makes the feature alarm.
    alarm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """One feature in one window."""

    #: its name; "origin=JFK: temp" where it alarms in a slice; "slices by origin" where these cannot be judged.
    feature: str
    #: steady | drift | cannot_judge | reported (shown, and never an alarm).
    verdict: str
    why: str
    statistics: tuple[Statistic, ...]
    #: of the window's rows those without a value, with no value of the kind, beyond the reference's range, of unseen levels;
    #: None: a verdict of an earlier release.
    missing: int | None = None
    invalid: int | None = None
    below: int | None = None
    above: int | None = None
    unseen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One watched window, drift or performance."""

    kind: str
    #: the date of the window's middle: for a day that starts at local midnight, the local date.
    day: date
    start: datetime
    ends: datetime
    version: int
    #: steady | drift | cannot_judge; for performance kept | below | immature | cannot_judge.
    verdict: str
    rows: int
    #: drift only; those that alarm first, as the monitor ranked them.
    features: tuple[FeatureDrift, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that wants a person; open while `resolved_at` is None."""

    id: int
    model: str
    name: str
    severity: str
    since: datetime
    resolved_at: datetime | None
    title: str
    evidence: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A candidate on its way: queued, shadow, full or aborted."""

    candidate: int
    champion: int | None
    status: str
    started_at: datetime
    moved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """One deployment: what answered from `start` until `until` (None: still does), who put it there and why."""

    generation: int
    version: int
    shadow: tuple[int, ...]
    start: datetime
    until: datetime | None
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Who runs the loop, as its lease says."""

    holder: str
    #: wall clock.
    renewed_at: datetime
    #: wall clock; a lease in the past means that no loop runs.
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model in the fleet."""

    model: str
    #: version that answers; None = none yet.
    live: int | None
    label: str | None
    since: datetime | None
    who: str | None
    why: str | None
    shadow: tuple[int, ...]
    rollout: Rollout | None
    traffic: Traffic | None
    performance: Performance
    #: the newest drift window.
    drift: Window | None
    alerts: tuple[Alert, ...]
    #: the newest to do or not to do something (gate, retrain, rollout, run).
    last_decision: Decision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All models of a home."""

    models: tuple[ModelCard, ...]
    loop: Loop | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One line of the versions table."""

    number: int
    label: str
    stage: Stage
    created_at: datetime
    #: why it was trained: schedule, drift, performance, volume, manual, first.
    reason: str
    data_rows: int
    data_start: datetime | None
    data_end: datetime | None
    metrics: Mapping[str, Estimate]
    #: the gate's sentence; None when no verdict is kept.
    gate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """Everything about one model."""

    card: ModelCard
    versions: tuple[VersionRow, ...]
    #: drift windows, oldest first.
    windows: tuple[Window, ...]
    #: the primary metric and the other outcomes of the newest windows, newest first.
    measured: tuple[PerformanceRow, ...]
    #: newest first, without those that found all well.
    decisions: tuple[Decision, ...]
    #: newest first.
    history: tuple[Tenure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """One version: where it comes from, what the gate said, when it answered."""

    version: Version
    #: the gate's decision on it; None when none is kept.
    gate: Decision | None
    results: tuple[RuleResult, ...]
    tenures: tuple[Tenure, ...]
    #: its input contract as in the bundle; None when the bundle is not here.
    contract: Mapping[str, Any] | None

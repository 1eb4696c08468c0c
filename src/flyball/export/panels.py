"""What the dashboards show: a panel's title, what it tells, and its queries in PromQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    expr: str
    #: how a series is called, with its labels in {{braces}}.
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    #: one sentence for who sees it the first time.
    about: str
    queries: tuple[Query, ...]
    #: Grafana's unit.
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    #: of the 24 columns of a row.
    width: int = 12
    #: in rows of about 30 pixels.
    height: int = 8


_RATE = "[$__rate_interval]"
_JOURNAL = "flyball_journal_records_total"


def _query(expr: str, legend: str = "") -> Query:
    return Query(expr=expr, legend=legend)


def fleet_panels() -> tuple[Panel, ...]:
    """Everything at once: does it live, what is asked, what is wrong."""
    requests = f"sum by (model) (rate(flyball_requests_total{{model!=''}}{_RATE}))"
    errors = f'sum by (model) (rate(flyball_requests_total{{code=~"5.."}}{_RATE}))'
    buckets = f"sum by (le, model) (rate(flyball_request_seconds_bucket{_RATE}))"
    return (
        _stat("Loop silent for", "s", "time() - max(flyball_loop_last_tick_seconds)", "Over 45 s nothing is watched."),
        _stat("Workers", "short", "count(flyball_worker_last_tick_seconds > time() - 30)", "That gave a sign of life."),
        _stat("Open alerts", "short", "count(flyball_alerts_firing) or vector(0)", "Of Flyball, over all models."),
        _stat("In flight", "short", "sum(flyball_in_flight)", "Requests that are being answered."),
        Panel(
            title="Requests",
            about="Answered and refused, by model.",
            queries=(_query(requests, "{{model}}"),),
            unit="reqps",
        ),
        Panel(
            title="Without an answer",
            about="Share of requests that the server failed (5xx); what the caller did wrong is not in it.",
            queries=(_query(f"({errors} or {requests} * 0) / ({requests} > 0)", "{{model}}"),),
            unit="percentunit",
        ),
        Panel(
            title="p99",
            about="From a request's last byte to its answer.",
            queries=(_query(f"histogram_quantile(0.99, {buckets})", "{{model}}"),),
            unit="s",
        ),
        Panel(
            title="Live",
            about="Which version answers, by model.",
            queries=(
                _query('max by (model, version, generation) (flyball_model_info{variant="live"})', "v{{version}}"),
            ),
            kind="table",
        ),
        Panel(
            title="Open alerts",
            about="What Flyball itself has found; `flyball alerts` says more.",
            queries=(_query("flyball_alerts_firing", "{{model}} {{name}}"),),
            kind="table",
        ),
        Panel(
            title="Training runs",
            about="Finished in the last 24 hours, by what they came to.",
            queries=(_query("sum by (model, result) (increase(flyball_retrains_total[24h]))", "{{model}} {{result}}"),),
        ),
        _journal(),
        Panel(
            title="Workers begun",
            about="More than one start of a worker: it died and was replaced.",
            queries=(_query("flyball_worker_starts_total", "worker {{worker}}"),),
        ),
    )


#: of the chosen model.
_MODEL = 'model="$model"'


def model_panels() -> tuple[Panel, ...]:
    """One model: traffic, latency, versions, shadow, drift, performance, journal, retrains, alerts."""
    return (*_traffic(_MODEL), *_quality(_MODEL), _journal(), *_acts(_MODEL))


def _traffic(m: str) -> tuple[Panel, ...]:
    """What it answers, how fast, by which versions."""
    rows = f"sum by (version, variant) (rate(flyball_rows_total{{{m}}}{_RATE}))"
    buckets = f"sum by (le, variant) (rate(flyball_request_seconds_bucket{{{m}}}{_RATE}))"
    return (
        Panel(
            title="Live and shadow",
            about="Versions the workers have loaded; the generation counts deployments.",
            queries=(_query(f"max by (version, variant, generation) (flyball_model_info{{{m}}})", "v{{version}}"),),
            kind="table",
            width=8,
        ),
        Panel(
            title="Requests",
            about="By version and by answer; 4xx is the caller's mistake.",
            queries=(
                _query(f"sum by (version, code) (rate(flyball_requests_total{{{m}}}{_RATE}))", "v{{version}} {{code}}"),
            ),
            unit="reqps",
            width=8,
        ),
        Panel(
            title="Rows",
            about="Predictions answered, by version.",
            queries=(_query(rows, "v{{version}} {{variant}}"),),
            width=8,
        ),
        Panel(
            title="Latency",
            about="From a request's last byte to its answer.",
            queries=tuple(
                _query(f"histogram_quantile({of}, {buckets})", f"{name} {{{{variant}}}}")
                for name, of in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            ),
            unit="s",
        ),
        Panel(
            title="Shadow",
            about="Requests that shadow versions scored too, and what became of it (all models).",
            queries=(_query(f"sum by (result) (rate(flyball_shadow_total{_RATE}))", "{{result}}"),),
            unit="reqps",
        ),
    )


def _quality(m: str) -> tuple[Panel, ...]:
    """Whether the world is as it was, and the model right."""
    metric = f'{{{m},metric="$metric"}}'
    return (
        Panel(
            title="Drift by feature",
            about="The chosen statistic of the newest window; what alarms is judged with its null, not by height alone.",
            queries=(_query(f'topk(20, flyball_drift_score{{{m},method="$method"}})', "{{feature}}"),),
        ),
        Panel(
            title="Drifted features",
            about="Those that the newest window says have drifted.",
            queries=(_query(f"flyball_drift_alarm{{{m}}} > 0", "{{feature}}"),),
            kind="table",
        ),
        Panel(
            title="Performance",
            about="The chosen metric of the newest day with outcomes, with the ends of its interval.",
            queries=(
                _query(f"flyball_performance{metric}", "v{{version}}"),
                _query(f"flyball_performance_low{metric}", "v{{version}} low"),
                _query(f"flyball_performance_high{metric}", "v{{version}} high"),
            ),
        ),
        Panel(
            title="Outcomes",
            about="Labels and business outcomes taken in.",
            queries=(_query(f"sum(rate(flyball_outcomes_total{{{m}}}{_RATE}))", "outcomes"),),
        ),
    )


def _acts(m: str) -> tuple[Panel, ...]:
    """What was done about it, and what wants a person."""
    return (
        Panel(
            title="Training runs",
            about="Finished runs by what they came to, since the beginning.",
            queries=(_query(f"sum by (result) (flyball_retrains_total{{{m}}})", "{{result}}"),),
        ),
        Panel(
            title="Open alerts",
            about="Of this model.",
            queries=(_query(f"flyball_alerts_firing{{{m}}}", "{{name}}"),),
            kind="table",
        ),
    )


def _journal() -> Panel:
    return Panel(
        title="Journal",
        about="What became of the records of answered rows; dropped ones can never be joined with what came true (all models).",
        queries=(
            _query(f"sum by (result) (rate({_JOURNAL}{_RATE}))", "{{result}}"),
            _query("sum(flyball_journal_waiting)", "waiting"),
        ),
    )


def _stat(title: str, unit: str, expr: str, about: str) -> Panel:
    return Panel(title=title, about=about, queries=(_query(expr),), unit=unit, kind="stat", width=6, height=4)

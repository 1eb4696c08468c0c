"""Checked values become records; defaults that hang on the task, on other keys or on the steps are settled here. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flyball.project.gate_checks import Steps, Values, holdout_step, refit_obstacle
from flyball.project.records import (
    AlertSettings,
    Channel,
    GateSettings,
    JournalSettings,
    ModelSettings,
    MonitorSettings,
    OutcomeSettings,
    PipelineSettings,
    Project,
    RetrainSettings,
    RolloutSettings,
    ServingSettings,
)
from flyball.project.rules import Rule, parse_rule
from flyball.project.schema import DAY_S, SEVERITIES
from flyball.stats.names import GREATER_IS_BETTER

MEGABYTE = 1024 * 1024

#: TLS from the first byte; with STARTTLS it is the submission port, 587.
SMTPS_PORT = 465

#: task -> what its versions are compared by unless `[model] primary_metric` says otherwise.
PRIMARY_METRIC = {"binary": "auc", "multiclass": "accuracy", "regression": "rmse"}

#: how much worse than its champion a refresh may be, for metrics on a scale of 0 to 1 that all know.
MARGIN = {"auc": 0.01, "accuracy": 0.01}


def build_project(directory: Path, values: Values, steps: Steps) -> Project:
    """The records; `values` and `steps` must be free of problems."""
    model = _model(values["model"])
    holdout = holdout_step(values, steps)
    return Project(
        name=values["project"]["name"] or model.name,
        directory=directory,
        model=model,
        pipeline=PipelineSettings(**{**values["pipeline"], "holdout": holdout}),
        gate=_gate(values, steps, model.primary_metric, compared=holdout is not None or model.adopted),
        rollout=RolloutSettings(**{**_only(values["rollout"], RolloutSettings), "strategy": _strategy(values)}),
        outcomes=_outcomes(values["outcomes"]),
        monitor=_monitor(values["monitor"]),
        columns=values["columns"],
        retrain=_retrain(values["retrain"], values["pipeline"]["schedule"]),
        alerts=_alerts(values["alerts"]),
        serving=ServingSettings(
            workers=values["serving"]["workers"],
            max_body_bytes=int(values["serving"]["max_body_mb"] * MEGABYTE),
            timeout_s=values["serving"]["timeout_s"],
            engine=values["serving"]["engine"],
            parity_tolerance=values["serving"]["parity_tolerance"],
            durability=values["serving"]["durability"],
            auth=values["serving"]["auth"],
            loading=values["serving"]["loading"],
        ),
        journal=JournalSettings(**_only(values["journal"], JournalSettings)),
    )


def _only(values: Mapping[str, Any], record: type) -> dict[str, Any]:
    """The keys a record has; the others are honoured at one value only, which `schema` has made sure of."""
    return {name: values[name] for name in record.__dataclass_fields__}  # type: ignore[attr-defined]  # every record is a dataclass


def _model(values: Mapping[str, Any]) -> ModelSettings:
    binary = values["task"] == "binary"
    return ModelSettings(
        **{
            **values,
            "positive": (values["positive"] or "1") if binary else None,
            "primary_metric": values["primary_metric"] or PRIMARY_METRIC[values["task"]],
        }
    )


def _gate(values: Values, steps: Steps, primary: str, *, compared: bool) -> GateSettings:
    """`compared`: whether there are rows to compare versions on, held out by a step or given at an adoption."""
    gate = values["gate"]
    better = ">" if GREATER_IS_BETTER[primary] else "<"
    margin = f" - {MARGIN[primary]}" if primary in MARGIN else ""
    change = [f"{primary} {better} champion.{primary}"] if compared else []
    refresh = [f"{primary} {better}= champion.{primary}{margin}"] if compared else []
    return GateSettings(
        change=_rules(gate["change"], change),
        refresh=_rules(gate["refresh"], refresh),
        always=_rules(gate["always"], []),
        confidence=gate["confidence"],
        cluster=gate["cluster"],
        slices=gate["slices"],
        slice_floor=_rules(gate["slice_floor"], [f"{primary} {better}= champion.{primary}"] if gate["slices"] else []),
        allow_leak=gate["allow_leak"],
        refit=refit_obstacle(values, steps) is None if gate["refit"] is None else bool(gate["refit"]),
        refit_ahead=gate["refit"] == "ahead",
        approval=gate["approval"],
        approval_timeout_s=gate["approval_timeout"],
        moved_alias=gate["moved_alias"],
    )


def _rules(written: Sequence[str] | None, default: Sequence[str]) -> tuple[Rule, ...]:
    return tuple(parse_rule(text) for text in (default if written is None else written))


def _outcomes(values: Mapping[str, Any]) -> tuple[OutcomeSettings, ...]:
    """The declared outcomes; `label` is there without being declared."""
    label = {"kind": "label", "window": None, "missing": "unknown"}
    return tuple(
        OutcomeSettings(name=name, kind=item["kind"], window_s=item["window"], missing=item["missing"])
        for name, item in {"label": label, **values}.items()
    )


def _monitor(values: Mapping[str, Any]) -> MonitorSettings:
    count, period_s = values["false_alarms"]
    return MonitorSettings(
        window_s=values["window"],
        label_delay_s=values["label_delay"],
        false_alarms_per_window=count * values["window"] / period_s,
        features=values["features"],
        slices=values["slices"],
    )


def _retrain(values: Mapping[str, Any], schedule: str | None) -> RetrainSettings:
    budget, budget_window_s = values["budget"] or (None, 365 * DAY_S)
    on, new_rows = values["on"] or (), values["new_rows"]
    if schedule is not None and "schedule" not in on:
        # A schedule that is written down is meant: `mode = "off"` is how to stand still.
        on = ("schedule", *on)
    return RetrainSettings(
        on=on,
        new_rows=new_rows if isinstance(new_rows, int) else None,
        new_rows_share=new_rows if isinstance(new_rows, float) else None,
        performance=None if values["performance"] is None else parse_rule(values["performance"]),
        mode=values["mode"],
        cooldown_s=values["cooldown"],
        budget=budget,
        budget_window_s=budget_window_s,
        min_new_labels=values["min_new_labels"],
    )


def _alerts(values: Mapping[str, Any]) -> AlertSettings:
    """The declared channels and the console, which takes whatever is not routed."""
    channels = {"console": {"kind": "console"}, **values["channels"]}
    routes = values["routes"]
    return AlertSettings(
        channels=tuple(_channel(name, item) for name, item in channels.items()),
        routes={severity: ("console",) if routes[severity] is None else routes[severity] for severity in SEVERITIES},
        group_wait_s=values["group_wait"],
        resolve_after_s=values["resolve_after"],
        repeat_s=values["repeat"],
        link=values["link"],
        runbook=values["runbook"],
        heartbeat_env=values["heartbeat_env"],
    )


def _channel(name: str, item: Mapping[str, Any]) -> Channel:
    """What is not said is at the record's default, and port follows security."""
    said = {("sender" if key == "from" else key): value for key, value in item.items() if value is not None}
    if said.get("security") == "tls":
        said.setdefault("port", SMTPS_PORT)
    return Channel(name=name, **said)


def _strategy(values: Mapping[str, Any]) -> str:
    """As named; else a shadow first, which a multiclass model cannot have: the lake holds its class, not its scores."""
    named: str | None = values["rollout"]["strategy"]
    return named or ("direct" if values["model"]["task"] == "multiclass" else "shadow")

"""What the user declared, as frozen records. Durations in seconds; times of day in the project's time zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flyball.project.rules import Rule

Task = Literal["binary", "multiclass", "regression"]
Trigger = Literal["schedule", "drift", "performance", "volume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """`[model]`"""

    name: str
    task: Task
    target: str
    #: binary only: the target's value that counts as positive, as text ("1", "yes"); "1" for true.
    positive: str | None
    #: column that names the entity; None = rows have no key.
    key: str | None
    #: column with the event time; None = rows have no time (no refit, no drift null by day).
    timestamp: str | None
    #: None = every column of the training table but target, key and timestamp.
    features: tuple[str, ...] | None
    primary_metric: str
    #: whether its versions come by `flyball adopt` alone: then there is no pipeline, and nothing can be retrained.
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """`[pipeline]`"""

    module: str
    #: step whose result is the model.
    model: str
    #: step whose result is the held-out table; None = no such step, then no rule may compare.
    holdout: str | None
    #: five-field cron expression in `timezone`; None = no schedule.
    schedule: str | None
    timezone: str
    seed: int
    params: Mapping[str, Any]
    #: the data files it reads, relative to flyball.toml: their digests, and DVC's revisions, are kept with each version.
    source: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """`[gate]`"""

    change: tuple[Rule, ...]
    refresh: tuple[Rule, ...]
    always: tuple[Rule, ...]
    #: two-sided level of every interval, in (0.5, 1).
    confidence: float
    #: rows whose errors move together: None = independent rows, "key" or "day".
    cluster: Literal["key", "day"] | None
    #: columns whose values are looked at one by one, and the rules that hold on each: broken only beyond chance.
    slices: tuple[str, ...]
    slice_floor: tuple[Rule, ...]
    #: features that may foretell the target all alone; any other that does is taken for the target itself.
    allow_leak: tuple[str, ...]
    #: train what passes once more on all rows;
    refit: bool
    #: and do so beside the candidate, before the verdict: sooner live, for the price of a fit where the gate refuses.
    refit_ahead: bool
    #: "human": what passes waits for somebody else than who wanted the run;
    approval: Literal["auto", "human"]
    #: at most this long.
    approval_timeout_s: float
    #: MLflow's alias `production`, moved by somebody else: put back, or taken for a wish that the kept verdict answers.
    moved_alias: Literal["restore", "gate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """`[rollout]`"""

    #: "direct", or "shadow" first and then full.
    strategy: Literal["direct", "shadow"]
    #: rows answered by both versions and with mature outcomes before a shadow may go full.
    min_outcomes: int
    #: a rollout undecided for this long is aborted.
    max_days: float
    on_new_candidate: Literal["queue", "replace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSettings:
    """`[outcomes.NAME]`"""

    name: str
    kind: Literal["label", "binary", "number"]
    #: how long after the prediction an outcome still counts; None = for ever.
    window_s: float | None
    missing: Literal["unknown", "0"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """`[monitor]`"""

    window_s: float
    #: how long after a window's end its labels are complete.
    label_delay_s: float
    #: stated rate of false alarms: at most this many per window, over all features together.
    false_alarms_per_window: float
    #: features that may alarm; None = all.
    features: tuple[str, ...] | None
    #: features whose values are looked at one by one.
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSettings:
    """`[retrain]`"""

    on: tuple[Trigger, ...]
    #: rows with outcomes since the last training that make a volume trigger: a count,
    new_rows: int | None
    #: or a share of the rows that the live version was trained on, in (0, 10]; both None = never.
    new_rows_share: float | None = None
    #: alarm when a mature window breaks this promise, for example "auc < 0.70".
    performance: Rule | None
    mode: Literal["auto", "suggest", "off"]
    cooldown_s: float
    #: at most this many retrains in any `budget_window_s`; None = no limit.
    budget: int | None
    budget_window_s: float
    min_new_labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One alert channel. Addresses and secrets lie in environment variables; only their names are here."""

    name: str
    kind: Literal["console", "webhook", "slack", "email", "pagerduty", "alertmanager"]
    #: of the URL.
    url_env: str | None = None
    #: of PagerDuty's routing key.
    key_env: str | None = None
    #: of the key that a webhook's bodies are signed with.
    secret_env: str | None = None
    #: e-mail: the server, how its connection is encrypted, whom to trust besides the system's authorities.
    host: str | None = None
    port: int = 587
    security: Literal["starttls", "tls"] = "starttls"
    ca_file: str | None = None
    sender: str | None = None
    to: tuple[str, ...] = ()
    user_env: str | None = None
    password_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """`[alerts]`"""

    channels: tuple[Channel, ...]
    #: severity -> names of channels.
    routes: Mapping[str, tuple[str, ...]]
    #: how long an alert waits for others to go out with it.
    group_wait_s: float = 0.0
    #: how long an alert that ended must stay quiet before that is told; one that fires again meanwhile was never ended.
    resolve_after_s: float = 0.0
    #: how often one that goes on is told again, unless somebody acknowledged it; None: never.
    repeat_s: float | None = None
    #: addresses that messages carry: the dashboard from outside, what to do.
    link: str | None = None
    runbook: str | None = None
    #: environment variable of the address that is asked for at each beat, at most once a minute.
    heartbeat_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """`[serving]`"""

    workers: int
    max_body_bytes: int
    timeout_s: float
    #: what answers for a fitted model: "onnx", its graph, or it is refused; "native", the model itself, in a process of
    #: its own; "auto", its graph where that is proven equal, else the model itself. Of the next version that is trained.
    engine: Literal["auto", "onnx", "native"]
    #: difference allowed in a row before it counts as another answer: of a probability; of a value, relative to
    #: max(1, |value|). One row in a thousand may differ by more.
    parity_tolerance: float
    #: what survives what: "process": an answered prediction survives the death of any process; "disk": that of the
    #: machine too, as its journal line is on the disk before the answer leaves. A server reads it when it starts.
    durability: Literal["process", "disk"]
    #: what predictions ask for: "token", a bearer token with the scope `predict`; "none", nothing. None: a token where
    #: other machines can reach the server, nothing on loopback; write "token" behind a proxy, which is where TLS ends.
    #: Outcomes ask for a token with the scope `outcomes` wherever other machines can reach the server, and at "token".
    #: A server reads it when it starts.
    auth: Literal["none", "token"] | None
    #: when a worker takes a version into memory: "eager", before it is served; "lazy", when it is first asked for, which
    #: then waits. A model that has been asked for is loaded ahead from then on. A server reads it when it starts.
    loading: Literal["eager", "lazy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """`[journal]`"""

    #: share of predictions that are journaled, in (0, 1], by a hash of their ids. What was left out cannot be joined to
    #: its outcome: drift, performance and a rollout's evidence rest on the sampled rows only, and `min_outcomes` counts
    #: those. A server reads it when it starts.
    sample: float
    #: a worker starts a new segment after this long.
    segment_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One `flyball.toml`, understood and checked."""

    name: str
    #: folder of flyball.toml; `pipeline.py` is imported from here.
    directory: Path
    model: ModelSettings
    pipeline: PipelineSettings
    gate: GateSettings
    rollout: RolloutSettings
    outcomes: tuple[OutcomeSettings, ...]
    monitor: MonitorSettings
    #: column -> what the journal does with it; unnamed columns are kept.
    columns: Mapping[str, Literal["keep", "hash", "drop"]]
    retrain: RetrainSettings
    alerts: AlertSettings
    serving: ServingSettings
    journal: JournalSettings

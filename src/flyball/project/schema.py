"""Every section and key of `flyball.toml`, as one table; `document` reads a document by it.

A default of None where another key decides (the metric depends on the task, say) is filled in by `build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flyball.project import readers as read

DAY_S = 86_400.0
SEVERITIES = ("info", "warning", "critical")
TRIGGERS = ("schedule", "drift", "performance", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One value."""

    reader: read.Reader
    default: Any = None
    #: what to write where a required key is missing; None = the key may be left out.
    required: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list; each item is read, and placed in a refusal, on its own."""

    reader: read.Reader
    default: tuple[Any, ...] | None = None
    unique: bool = False
    empty: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Each:
    """A table whose names the user chooses."""

    of: Shape


#: a dict is a table whose names are known.
Shape = Key | Items | Each | dict[str, "Shape"]

#: kind of alert channel -> the keys it must have, the keys it may have.
CHANNEL_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "console": ((), ()),
    "webhook": (("url_env",), ("secret_env",)),
    "slack": (("url_env",), ()),
    "email": (("host", "from", "to"), ("port", "security", "ca_file", "user_env", "password_env")),
    "pagerduty": (("key_env",), ("url_env",)),
    "alertmanager": (("url_env",), ()),
}
CHANNEL_KINDS = tuple(CHANNEL_KEYS)
SECRET_KEYS = ("url_env", "key_env", "secret_env", "user_env", "password_env")

SCHEMA: dict[str, Shape] = {
    "project": {
        "name": Key(reader=read.slug),
        "python": Key(reader=read.not_yet("steps run in the interpreter that runs flyball; leave it out")),
    },
    "model": {
        "name": Key(reader=read.slug, required='name = "flight-delay"'),
        "task": Key(
            reader=read.one_of("binary", "multiclass", "regression"),
            required='task = "binary", "multiclass" or "regression"',
        ),
        "target": Key(reader=read.text, required="target = the column to predict"),
        "positive": Key(reader=read.positive_value),
        "key": Key(reader=read.text),
        "timestamp": Key(reader=read.text),
        "features": Items(reader=read.text, unique=True, empty=False),
        "primary_metric": Key(reader=read.text),
        "adopted": Key(reader=read.flag, default=False),
    },
    "pipeline": {
        "module": Key(reader=read.module, default="pipeline"),
        "model": Key(reader=read.text, default="train"),
        "holdout": Key(reader=read.text),
        "schedule": Key(reader=read.cron),
        "timezone": Key(reader=read.timezone, default="UTC"),
        "seed": Key(reader=read.integer(0, 2**32 - 1), default=7),
        "params": Key(reader=read.params, default={}),
        "source": Key(reader=read.paths, default=()),
    },
    "gate": {
        "change": Items(reader=read.text),
        "refresh": Items(reader=read.text),
        "always": Items(reader=read.text, default=()),
        "confidence": Key(reader=read.number(0.5, 1, open_ends=True), default=0.95),
        "cluster": Key(reader=read.one_of("key", "day")),
        "refit": Key(reader=read.refit),
        "slices": Items(reader=read.text, default=(), unique=True),
        "slice_floor": Items(reader=read.text),
        "allow_leak": Items(reader=read.text, default=(), unique=True),
        "approval": Key(reader=read.one_of("auto", "human"), default="auto"),
        "approval_timeout": Key(reader=read.duration(), default=7 * DAY_S),
        "moved_alias": Key(reader=read.one_of("restore", "gate"), default="restore"),
    },
    "rollout": {
        "strategy": Key(reader=read.strategy),  # "direct" for multiclass, else "shadow"
        "min_outcomes": Key(reader=read.integer(0, 1_000_000_000), default=200),
        "max_days": Key(reader=read.number(0, 3_650, open_ends=True), default=14.0),
        "on_new_candidate": Key(reader=read.one_of("queue", "replace"), default="queue"),
        "metric": Key(reader=read.not_yet("a rollout watches [model] primary_metric; leave it out")),
        "guardrails": Key(reader=read.not_yet("write floors under [gate] always; leave it out")),
    },
    "outcomes": Each(
        of={
            "kind": Key(reader=read.one_of("label", "binary", "number"), default="label"),
            "window": Key(reader=read.duration()),
            "missing": Key(reader=read.one_of("unknown", "0"), default="unknown"),
        }
    ),
    "monitor": {
        "window": Key(reader=read.duration(), default=DAY_S),
        "label_delay": Key(reader=read.duration(zero=True), default=DAY_S),
        "false_alarms": Key(reader=read.rate, default=(1, 100 * DAY_S)),
        "features": Items(reader=read.text, unique=True, empty=False),
        "slices": Items(reader=read.text, default=(), unique=True),
    },
    "columns": Each(of=Key(reader=read.one_of("keep", "hash", "drop"))),
    "retrain": {
        "on": Items(reader=read.one_of(*TRIGGERS), unique=True),
        "new_rows": Key(reader=read.count_or_share),
        "performance": Key(reader=read.text),
        "mode": Key(reader=read.one_of("auto", "suggest", "off"), default="auto"),
        "cooldown": Key(reader=read.duration(zero=True), default=DAY_S),
        "budget": Key(reader=read.rate),
        "min_new_labels": Key(reader=read.integer(0, 1_000_000_000), default=0),
    },
    "alerts": {
        "channels": Each(
            of={
                "kind": Key(reader=read.one_of(*CHANNEL_KINDS), required='kind = "slack", "email" or another'),
                **{name: Key(reader=read.variable) for name in SECRET_KEYS},
                "host": Key(reader=read.text),
                "port": Key(reader=read.integer(1, 65_535)),
                "security": Key(reader=read.one_of("starttls", "tls")),
                "ca_file": Key(reader=read.text),
                "from": Key(reader=read.mailbox),
                "to": Items(reader=read.mailbox, unique=True, empty=False),
            }
        ),
        "routes": {severity: Items(reader=read.text, unique=True) for severity in SEVERITIES},
        "group_wait": Key(reader=read.duration(zero=True), default=0.0),
        "resolve_after": Key(reader=read.duration(zero=True), default=0.0),
        "repeat": Key(reader=read.duration()),
        "link": Key(reader=read.web_address),
        "runbook": Key(reader=read.web_address),
        "heartbeat_env": Key(reader=read.variable),
    },
    "serving": {
        "workers": Key(reader=read.integer(1, 256), default=2),
        "max_body_mb": Key(reader=read.number(0, 1_024, open_ends=True), default=16.0),
        "timeout_s": Key(reader=read.number(0, 3_600, open_ends=True), default=10.0),
        "engine": Key(reader=read.one_of("auto", "onnx", "native"), default="auto"),
        "parity_tolerance": Key(reader=read.number(0, 1, open_ends=True), default=1e-5),
        "durability": Key(reader=read.one_of("process", "disk"), default="process"),
        "auth": Key(reader=read.one_of("none", "token")),  # by the address: loopback asks for nothing
        "loading": Key(reader=read.one_of("eager", "lazy"), default="eager"),
    },
    "journal": {
        "sample": Key(reader=read.share, default=1.0),
        "segment_s": Key(reader=read.number(0, 86_400, open_ends=True), default=60.0),
        "retention_days": Key(reader=read.not_yet("the lake is kept for ever; leave it out")),
    },
}

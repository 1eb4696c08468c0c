"""What an alert says, whatever the channel: a record made of an outbox event, and its lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flyball.project.records import AlertSettings

Status = Literal["firing", "acknowledged", "resolved"]

#: worst first.
SEVERITIES = ("critical", "warning", "info")

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One alert at one turn of its life."""

    #: the same for all messages of one alert: what a receiver joins them by.
    key: str
    model: str
    name: str
    severity: Literal["info", "warning", "critical"]
    status: Status
    title: str
    #: RFC 3339, when it happened.
    at: str
    #: JSON value as the event carries it; what the generic webhook sends.
    payload: Mapping[str, Any]
    #: addresses for people, where the project names them.
    dashboard: str | None
    runbook: str | None

    @property
    def identity(self) -> str:
        """The same each time this very message is sent: a receiver may drop the second."""
        return f"{self.key}:{self.status}:{self.at}"


def read_message(payload: Mapping[str, Any], settings: AlertSettings) -> Message:
    """The message of an outbox event of the kind "alert"."""
    model = payload["model"]
    dashboard = f"{settings.link.rstrip('/')}/models/{model}" if settings.link else None
    return Message(
        key=payload["key"],
        model=model,
        name=payload["name"],
        severity=payload["severity"],
        status=payload["status"],
        title=payload["title"],
        at=payload["at"],
        payload=payload,
        dashboard=dashboard,
        runbook=settings.runbook,
    )


def headline(messages: Sequence[Message]) -> str:
    """One line for all of them: the only one's title, or how many there are and the worst."""
    first = worst(messages)
    line = f"{label(first)}: {first.title}"
    return line if len(messages) == 1 else f"{len(messages)} alerts; {line}"


def worst(messages: Sequence[Message]) -> Message:
    """The one that a person must see first: firing before resolved, then by severity."""
    return min(messages, key=lambda item: (item.status != "firing", SEVERITIES.index(item.severity)))


def label(message: Message) -> str:
    return message.severity if message.status == "firing" else message.status


def details(message: Message) -> list[str]:
    """What is needed to act at night, a line each: where, since when, what is live, how to go back, where to look."""
    context, evidence = message.payload.get("context") or {}, message.payload.get("evidence") or {}
    lines = []
    if features := evidence.get("features"):
        lines.append(f"Columns: {', '.join(map(str, features[:5]))}")
    if part := evidence.get("slice") or evidence.get("worst_slice"):
        lines.append(f"Worst slice: {part}")
    if recent := context.get("recent"):
        values = recent["values"]
        lines.append(f"{recent['metric']}, last {len(values)} days: {sparkline(values)} now {values[-1]:.4g}")
    if context.get("live"):
        before = f" (before: v{context['before']})" if context.get("before") else ""
        lines.append(f"Live: v{context['live']} since {context['since'][:16]}Z, by {context['who']}{before}")
    if message.status == "firing" and context.get("rollback"):
        lines.append(f"To put v{context['before']} back: {context['rollback']}")
    if message.dashboard:
        lines.append(f"Chart and evidence: {message.dashboard}")
    if message.runbook:
        lines.append(f"Runbook: {message.runbook}")
    return lines


def sparkline(values: Sequence[float]) -> str:
    """A character a value, between the least and the largest of them."""
    low, span = min(values), max(values) - min(values)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 3] for value in values)

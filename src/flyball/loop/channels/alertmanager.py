"""Prometheus Alertmanager, POST /api/v2/alerts (its openapi.yaml): alerts that are alike in their labels are one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from flyball.loop.channels.message import Message, details
from flyball.loop.channels.request import HttpRequest, Secrets
from flyball.project.records import Channel
from flyball.store import moment, stamp

#: Alertmanager ends by itself what nobody repeats; ours ends when we say so, or after this.
LASTS = timedelta(days=30)


def requests(messages: Sequence[Message], channel: Channel, secrets: Secrets, now: datetime) -> list[HttpRequest]:  # noqa: ARG001
    """All of them in one request. The last word on an alert is the only one that is sent."""
    newest = {item.key: item for item in messages}
    url = f"{secrets['url_env'].rstrip('/')}/api/v2/alerts"
    return [HttpRequest(url=url, body=orjson.dumps([_alert(item, now) for item in newest.values()]))]


def _alert(message: Message, now: datetime) -> dict[str, Any]:
    starts = message.payload.get("since") or message.at
    ends = max(now, moment(starts)) if message.status == "resolved" else now + LASTS
    annotations = {"summary": message.title, "description": "\n".join(details(message))}
    if message.runbook:
        annotations["runbook_url"] = message.runbook
    found: dict[str, Any] = {
        "labels": {
            "alertname": f"flyball_{message.name}",
            "model": message.model,
            "severity": message.severity,
            "episode": message.key,
        },
        "annotations": annotations,
        "startsAt": starts,
        "endsAt": stamp(ends),
    }
    return found | ({"generatorURL": message.dashboard} if message.dashboard else {})

"""PagerDuty Events API v2 (developer.pagerduty.com, "Send an Alert Event"): trigger, acknowledge, resolve by one key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from flyball.loop.channels.message import Message, details
from flyball.loop.channels.request import HttpRequest, Secrets
from flyball.project.records import Channel

ENQUEUE = "https://events.pagerduty.com/v2/enqueue"

#: the API's limits, in characters.
DEDUP_CHARS, SUMMARY_CHARS = 255, 1024
_ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}


def requests(messages: Sequence[Message], channel: Channel, secrets: Secrets, now: datetime) -> list[HttpRequest]:  # noqa: ARG001
    """An event a message. `url_env` leads elsewhere than to the service in the United States, where it is named."""
    url = secrets.get("url_env", ENQUEUE)
    return [HttpRequest(url=url, body=orjson.dumps(_event(item, secrets["key_env"]))) for item in messages]


def _event(message: Message, routing_key: str) -> dict[str, Any]:
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[message.status],
        "dedup_key": dedup_key(message.key),
    }
    if message.status != "firing":
        return event
    named = (("Dashboard", message.dashboard), ("Runbook", message.runbook))
    return event | {
        "payload": {
            "summary": message.title[:SUMMARY_CHARS],
            "source": message.model,
            "severity": message.severity,
            "timestamp": message.at,
            "component": message.model,
            "class": message.name,
            "custom_details": {"what_to_know": details(message), "evidence": message.payload.get("evidence", {})},
        },
        "client": "Flyball",
        "links": [{"href": href, "text": text} for text, href in named if href],
    }


def dedup_key(key: str) -> str:
    """The alert's own key; its digest where it is too long for the API."""
    return key if len(key) <= DEDUP_CHARS else hashlib.sha256(key.encode()).hexdigest()

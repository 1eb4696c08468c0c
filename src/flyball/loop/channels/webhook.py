"""Generic webhook: the event as JSON, a request an alert; signed where the channel names a secret.

The signature is HMAC-SHA256 (RFC 2104) of the body under `X-Flyball-Signature: sha256=HEX`, as GitHub's webhooks do it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

import orjson

from flyball.loop.channels.message import Message
from flyball.loop.channels.request import HttpRequest, Secrets
from flyball.project.records import Channel


def requests(messages: Sequence[Message], channel: Channel, secrets: Secrets, now: datetime) -> list[HttpRequest]:  # noqa: ARG001
    """A request a message; `Idempotency-Key` is the same at each try."""
    return [_request(item, secrets) for item in messages]


def _request(message: Message, secrets: Secrets) -> HttpRequest:
    links = {"dashboard": message.dashboard, "runbook": message.runbook}
    body = orjson.dumps({**message.payload, "links": links})
    headers = {"Idempotency-Key": message.identity}
    if "secret_env" in secrets:
        digest = hmac.new(secrets["secret_env"].encode(), body, hashlib.sha256).hexdigest()
        headers["X-Flyball-Signature"] = f"sha256={digest}"
    return HttpRequest(url=secrets["url_env"], body=body, headers=headers)

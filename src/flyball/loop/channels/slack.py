"""Slack's incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks"): one message for all alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from flyball.loop.channels.message import Message, details, headline, label
from flyball.loop.channels.request import HttpRequest, Secrets
from flyball.project.records import Channel

#: Slack refuses longer ones: a header's text, a section's text.
HEADER_CHARS, SECTION_CHARS = 150, 3000
#: of 50 blocks, and of some 13,000 characters in all of them.
MOST_ALERTS = 8


def requests(messages: Sequence[Message], channel: Channel, secrets: Secrets, now: datetime) -> list[HttpRequest]:  # noqa: ARG001
    """`text` is what a notification shows; the blocks are what is read."""
    line = headline(messages)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(line, HEADER_CHARS)}},
        *(_section(item) for item in messages[:MOST_ALERTS]),
    ]
    if len(messages) > MOST_ALERTS:
        blocks.append(_mrkdwn(f"and {len(messages) - MOST_ALERTS} more: `flyball alerts`"))
    return [HttpRequest(url=secrets["url_env"], body=orjson.dumps({"text": _escaped(line), "blocks": blocks}))]


def _section(message: Message) -> dict[str, Any]:
    lines = [f"*{label(message)}* {message.title}", *details(message)]
    return _mrkdwn(_escaped(_cut("\n".join(lines), SECTION_CHARS // 2)))


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, SECTION_CHARS)}}


def _escaped(text: str) -> str:
    """As Slack asks for: nothing in a title may become a link or a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

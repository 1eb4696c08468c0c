"""E-mail: one plain text for all alerts (RFC 5322), with a Message-ID that is the same at each try."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from flyball.loop.channels.message import Message, details, headline, label
from flyball.loop.channels.request import Mail, Secrets
from flyball.project.records import Channel

SUBJECT_CHARS = 200


def requests(messages: Sequence[Message], channel: Channel, secrets: Secrets, now: datetime) -> list[Mail]:
    """One mail. Those about one alert form a thread, by `References`."""
    assert channel.sender is not None
    mail = EmailMessage()
    # A title may hold what a person wrote: a line break in it would begin another header.
    mail["Subject"] = " ".join(headline(messages).split())[:SUBJECT_CHARS]
    mail["From"] = channel.sender
    mail["To"] = ", ".join(channel.to)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = _id("|".join(item.identity for item in messages), channel.sender)
    mail["References"] = _id(messages[0].key, channel.sender)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join("\n".join([f"{label(item)}: {item.title}", *details(item)]) for item in messages))
    return [Mail(channel=channel, message=mail, user=secrets.get("user_env"), password=secrets.get("password_env"))]


def _id(text: str, sender: str) -> str:
    domain = sender.rpartition("@")[2].strip("> ") or "flyball"
    return f"<{hashlib.sha256(text.encode()).hexdigest()[:32]}@{domain}>"

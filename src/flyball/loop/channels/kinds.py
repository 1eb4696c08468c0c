"""Every kind of channel that sends, a row each; the console needs none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flyball.loop.channels import alertmanager, mail, pagerduty, slack, webhook
from flyball.loop.channels.message import Message
from flyball.loop.channels.request import Away, HttpRequest, Mail, Rejected, Secrets
from flyball.loop.channels.sending import send
from flyball.project.records import Channel

Requests = Callable[[Sequence[Message], Channel, Secrets, datetime], Sequence[HttpRequest | Mail]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one kind of channel is told."""

    requests: Requests
    #: whether several alerts go out as one message; else each has a request of its own.
    groups: bool
    #: whether it is told that somebody acknowledged an alert.
    acknowledges: bool = False


CONSOLE = Kind(requests=lambda *_: (), groups=False, acknowledges=True)

KINDS: Mapping[str, Kind] = {
    "console": CONSOLE,
    "webhook": Kind(requests=webhook.requests, groups=False, acknowledges=True),
    "slack": Kind(requests=slack.requests, groups=True),
    "email": Kind(requests=mail.requests, groups=True),
    "pagerduty": Kind(requests=pagerduty.requests, groups=False, acknowledges=True),
    "alertmanager": Kind(requests=alertmanager.requests, groups=True),
}


def tell(
    channel: Channel, messages: Sequence[Message], *, now: datetime, environ: Mapping[str, str] | None = None
) -> None:
    """Send `messages` on a channel other than the console. Raises Away, Rejected, which name the channel."""
    try:
        secrets = read_secrets(channel, os.environ if environ is None else environ)
        for request in KINDS[channel.kind].requests(messages, channel, secrets, now):
            send(request, now=now)
    except Rejected as error:
        raise Rejected(f"alert channel {channel.name}: {channel.kind} failed ({error})") from None
    except Away as error:
        told = f"alert channel {channel.name}: {channel.kind} failed ({error})"
        raise Away(told, retry_after_s=error.retry_after_s) from None


def read_secrets(channel: Channel, environ: Mapping[str, str]) -> dict[str, str]:
    """What the variables that the channel names hold. Raises Rejected where one is not set, or holds a line break."""
    found = {}
    for setting in ("url_env", "key_env", "secret_env", "user_env", "password_env"):
        variable = getattr(channel, setting)
        if variable is None:
            continue
        value = environ.get(variable, "").strip()
        if not value:
            raise Rejected(f"environment variable {variable} is not set")
        if any(character in value for character in "\r\n\0"):
            raise Rejected(f"environment variable {variable} holds a line break")
        found[setting] = value
    return found

"""What a channel's function returns, and how sending it can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage

from flyball.errors import Unavailable
from flyball.project.records import Channel

#: what the environment holds for a channel: name of the setting ("url_env") -> its variable's value. Never shown.
Secrets = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A POST of JSON."""

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One e-mail to a server that proves who it is."""

    channel: Channel
    message: EmailMessage
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)


class Away(Unavailable):
    """Not taken this time; later it may be."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Rejected(Unavailable):
    """Not taken, and will not be until somebody changes the configuration."""

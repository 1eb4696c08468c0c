"""Time as text and back. Stamps are aware UTC, sort as text, and come in as parameters; only processes ask the clock."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The wall clock, aware, UTC. Called by processes and the CLI only; decisions get `now` as a parameter."""
    return datetime.now(UTC)


def stamp(at: datetime) -> str:
    """`2013-03-01T05:00:00.000000Z`: fixed width, so that text order is time order. Refuses a naive datetime."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; give an aware datetime, for example in UTC")
    # A third of what `strftime` takes: every row of a request passes here.
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def moment(text: str) -> datetime:
    """The aware UTC datetime of an RFC 3339 text. A date alone is its midnight UTC; no zone is refused."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time; give RFC 3339, for example 2013-08-01T12:00Z") from error
    if at.tzinfo is None:
        if len(text) == len("2013-08-01"):
            return at.replace(tzinfo=UTC)
        raise ValueError(f"{text!r} has no time zone; give one, for example {text}Z")
    return at.astimezone(UTC)

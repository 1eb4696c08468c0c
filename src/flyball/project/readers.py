"""Readers: what one value of `flyball.toml` may be. Each takes a TOML value and gives ours, or ValueError saying what it needs.

A refusal tells what is allowed and what was got, never which key: the schema knows that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from functools import cache
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from flyball.project.durations import parse_duration, parse_rate
from flyball.project.wording import INT64, shown

#: TOML value -> ours, or ValueError.
Reader = Callable[[Any], Any]

_PERCENT = re.compile(r"(\d{1,4}(?:\.\d{1,6})?)\s*%")

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_ADDRESS = re.compile(r"https?://[^\s@\"<>]+")
_MAILBOX = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+|[^@<>,;\r\n]+ <[^\s@<>,;]+@[^\s@<>,;]+>")
_time_zones = cache(available_timezones)  # reads the first bytes of every file of the time zone database
_CRON_START = datetime(2000, 1, 1, tzinfo=UTC)  # CronSim wants some start; only its reading of the text is asked for


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"needs text in quotes, got {shown(value)}")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"needs true or false, got {shown(value)}")
    return value


def refit(value: Any) -> bool | str:
    """Whether what passes is trained once more on all rows, and when."""
    if value != "ahead" and not isinstance(value, bool):
        raise ValueError(f'needs true, false or "ahead", got {shown(value)}')
    return cast(bool | str, value)


def slug(value: Any) -> str:
    """A name that is safe in addresses, folders and metrics."""
    if not isinstance(value, str) or SLUG.fullmatch(value) is None:
        raise ValueError(f"needs 1 to 63 of a-z, 0-9 and -, not beginning with -, got {shown(value)}")
    return value


def module(value: Any) -> str:
    """A Python module's dotted name."""
    if not isinstance(value, str) or _MODULE.fullmatch(value) is None or value.endswith(".py"):
        raise ValueError(f'needs a module\'s name without ".py", such as "pipeline", got {shown(value)}')
    return value


def variable(value: Any) -> str:
    """The name of an environment variable. What was got is not shown: it may be the secret itself."""
    if not isinstance(value, str) or _VARIABLE.fullmatch(value) is None:
        raise ValueError(
            "needs the name of an environment variable, such as OPS_WEBHOOK_URL; the address itself stays out of this file"
        )
    return value


def web_address(value: Any) -> str:
    """An address that people open, without user and password. What was got is not shown: it may hold a secret."""
    if isinstance(value, str) and _ADDRESS.fullmatch(value) is not None:
        return value
    raise ValueError("needs an address such as https://flyball.example.org, without user, password and blanks")


def mailbox(value: Any) -> str:
    """One e-mail address, or `Name <address>`."""
    if isinstance(value, str) and _MAILBOX.fullmatch(value) is not None:
        return value
    raise ValueError(f"needs an e-mail address, such as team@example.org, got {shown(value)}")


def paths(value: Any) -> tuple[str, ...]:
    """One path or several, relative and below the project's folder."""
    found = value if isinstance(value, list) else [value]
    for item in found:
        if not isinstance(item, str) or not item.strip() or item.startswith(("/", "~")) or ".." in item.split("/"):
            raise ValueError(f'needs paths below the project\'s folder, such as "data/rows.parquet", got {shown(item)}')
    if len(set(found)) < len(found):
        raise ValueError(f"needs each path once, got {shown(value)}")
    return tuple(found)


def positive_value(value: Any) -> str:
    """The target's value that counts as positive, as text. A boolean is its number, as it is in a table's column."""
    if isinstance(value, int) and abs(value) < INT64:
        return str(int(value))
    if not isinstance(value, str) or not value:
        raise ValueError(f'needs the value that counts as positive, such as "1" or "yes", got {shown(value)}')
    return value


def one_of(*allowed: str, later: Mapping[str, str] | None = None) -> Reader:
    """One of a closed set; `later`: values that are understood but not yet honoured -> what to do now."""

    def read(value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        if isinstance(value, str) and later and value in later:
            raise ValueError(f"{shown(value)} is not yet possible; {later[value]}")
        listed = " or ".join(f'"{name}"' for name in allowed)
        raise ValueError(f"needs {listed}, got {shown(value)}")

    return read


def not_yet(now: str) -> Reader:
    """A key whose machinery comes later; `now` says what is possible today."""

    def read(_: Any) -> Any:
        raise ValueError(f"is not yet possible; {now}")

    return read


def number(low: float, high: float, *, open_ends: bool = False) -> Reader:
    """A number in [low, high], or in (low, high)."""

    def read(value: Any) -> float:
        inside = _is_number(value) and (low < value < high if open_ends else low <= value <= high)
        if inside:
            return float(value)
        span = f"above {low:g} and below {high:g}" if open_ends else f"from {low:g} to {high:g}"
        raise ValueError(f"needs a number {span}, got {shown(value)}")

    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def integer(low: int, high: int) -> Reader:
    """A whole number in [low, high]."""

    def read(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ValueError(f"needs a whole number from {low} to {high}, got {shown(value)}")

    return read


def count_or_share(value: Any) -> int | float:
    """A count, from 1, as int; or a share of what there was, "12.5%" to "1000%", as float: 0.125."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000_000:
        return value
    percent = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if percent and 0 < float(percent[1]) <= 1_000:
        return float(percent[1]) / 100
    raise ValueError(f'needs a whole number from 1 to 1000000000, or a share such as "12.5%", got {shown(value)}')


def share(value: Any) -> float:
    """A part of a whole: above 0, up to 1."""
    if _is_number(value) and 0 < value <= 1:
        return float(value)
    raise ValueError(f"needs a number above 0, up to 1, got {shown(value)}")


def duration(*, zero: bool = False) -> Reader:
    """Seconds from "7d"; above 0 unless `zero`."""

    def read(value: Any) -> float:
        if not isinstance(value, str):
            raise ValueError(f'needs a duration in quotes, such as "36h" or "7d", got {shown(value)}')
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise ValueError(f"{error}, got {shown(value)}") from None
        if seconds == 0 and not zero:
            raise ValueError(f"needs a duration above 0, got {shown(value)}")
        return seconds

    return read


def rate(value: Any) -> tuple[int, float]:
    """(count, seconds) from "1/100d"."""
    if not isinstance(value, str):
        raise ValueError(f'needs a count and a duration in quotes, such as "1/100d", got {shown(value)}')
    try:
        return parse_rate(value)
    except ValueError as error:
        raise ValueError(f"{error}, got {shown(value)}") from None


def cron(value: Any) -> str:
    """A five-field cron expression."""
    if not isinstance(value, str) or len(value.split()) != 5:
        raise ValueError(
            f'needs the five fields minute, hour, day, month and weekday, such as "0 3 * * *", got {shown(value)}'
        )
    try:
        CronSim(value, _CRON_START)
    except CronSimError as error:
        raise ValueError(
            f"{str(error).lower()} in {shown(value)}; the fields are minute, hour, day, month, weekday"
        ) from None
    return value


def timezone(value: Any) -> str:
    """A time zone of the IANA database."""
    try:
        return ZoneInfo(text(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        close = get_close_matches(str(value)[:60], _time_zones(), n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ', needs a name such as "UTC" or "Europe/Berlin"'
        raise ValueError(f"no time zone {shown(value)}{hint}") from None


def strategy(value: Any) -> str:
    """How a winner gets to answer; "shadow, full" -> "shadow"."""
    words = [word.strip() for word in value.split(",")] if isinstance(value, str) else []
    if words == ["direct"]:
        return "direct"
    if words == ["shadow", "full"]:
        return "shadow"
    if any(word.split(" ")[0] in ("canary", "ab") for word in words):
        raise ValueError(f'{shown(value)} is not yet possible; use "shadow, full" or "direct"')
    raise ValueError(f'needs "shadow, full" or "direct", got {shown(value)}')


def params(value: Any) -> dict[str, Any]:
    """A table of JSON values: what is kept with a version must be read back as it was."""
    if not isinstance(value, dict):
        raise ValueError(f"needs a table, got {shown(value)}")
    _only_json(value, "")
    return value


def _only_json(value: Any, path: str) -> None:
    where = f"{path.removeprefix('.')}: " if path else ""
    if isinstance(value, dict):
        for key, item in value.items():
            _only_json(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _only_json(item, f"{path}[{index}]")
    elif isinstance(value, date | datetime | time):
        raise ValueError(
            f"{where}parameters are text, numbers, true or false, lists and tables; put the date in quotes"
        )
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}parameters are finite numbers, got {value}")
    elif isinstance(value, int) and abs(value) >= INT64:
        raise ValueError(f"{where}parameters are integers of at most 64 bits")

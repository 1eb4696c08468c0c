"""Durations and rates as people write them: "7d", "36h", "1.5h"; "1/100d", "20/365d". Pure."""

from __future__ import annotations

import re

#: seconds in one of each unit; months and years are left out because their lengths differ.
UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}

#: longest duration taken, about a century: what is added to a date must still be a date.
LONGEST_S = 36_525 * UNITS["d"]

_DURATION = re.compile(r"(?P<amount>[0-9]{1,12}(?:\.[0-9]{1,9})?)(?P<unit>[smhdw])")
_RATE = re.compile(r"(?P<count>[0-9]{1,9})/(?P<period>.+)")


def parse_duration(text: str) -> float:
    """Seconds in `text`, in [0, LONGEST_S]; ValueError says what is allowed."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError('needs a number and a unit (s, m, h, d, w), such as "90s", "36h" or "7d"')
    seconds = float(match["amount"]) * UNITS[match["unit"]]
    if seconds > LONGEST_S:
        raise ValueError('needs at most a century ("36525d")')
    return seconds


def parse_rate(text: str) -> tuple[int, float]:
    """`COUNT/DURATION` as (count, seconds), both above 0: "1/100d" is one in 8,640,000 s; ValueError says what is allowed."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError('needs a count and a duration, such as "1/100d"')
    count, seconds = int(match["count"]), parse_duration(match["period"])
    if count == 0 or seconds == 0:
        raise ValueError('needs a count and a duration above 0, such as "1/100d"')
    return count, seconds

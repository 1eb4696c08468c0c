"""Which windows have closed and wait to be judged. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

Window = tuple[datetime, datetime]

DAY_S = 86_400


def due_windows(
    first: datetime, last_done: datetime | None, now: datetime, window_s: float, delay_s: float, timezone: str
) -> list[Window]:
    """Windows [start, end) that ended at least `delay_s` before `now` and were not judged yet, oldest first; UTC.

    `first`: when there was first something to judge; the window it lies in is the first one. `last_done`: the end of the
    newest judged window. Windows of whole days end at midnight in `timezone` (so a day has 23 or 25 hours where clocks
    change; of seven days, they end on Sundays); others end at multiples of `window_s` since 1970, UTC.
    """
    start = _start(first, window_s, timezone) if last_done is None else last_done.astimezone(UTC)
    found = []
    while (end := _end(start, window_s, timezone)) + timedelta(seconds=delay_s) <= now:
        found.append((start, end))
        start = end
    return found


def window_name(window: Window) -> str:
    """The date of a window of days, in the zone whose midnight it starts at; the first minute of a shorter one, or second, UTC.

    Twelve hours after midnight it is the same date in UTC, for every zone up to twelve hours from it.
    """
    start, end = window
    if end - start < timedelta(hours=23):
        # Seconds too where windows begin between minutes: two of them must not share a name.
        form = "%Y-%m-%dT%H:%MZ" if end - start >= timedelta(minutes=1) else "%Y-%m-%dT%H:%M:%SZ"
        return start.astimezone(UTC).strftime(form)
    return (start.astimezone(UTC) + timedelta(hours=12)).date().isoformat()


def _start(at: datetime, window_s: float, timezone: str) -> datetime:
    """The border at or before `at`."""
    if window_s % DAY_S:
        return datetime.fromtimestamp(at.timestamp() // window_s * window_s, UTC)
    number, days = _day(at, timezone), int(window_s // DAY_S)
    return _midnight(number - (number - 1) % days, timezone)


def _end(start: datetime, window_s: float, timezone: str) -> datetime:
    """The first border after `start`, which need not be one itself: the settings may have changed since."""
    if window_s % DAY_S:
        return datetime.fromtimestamp((start.timestamp() // window_s + 1) * window_s, UTC)
    number, days = _day(start, timezone), int(window_s // DAY_S)
    return _midnight(number - (number - 1) % days + days, timezone)


def _day(at: datetime, timezone: str) -> int:
    """The local date as a number; 1 was a Monday."""
    return at.astimezone(ZoneInfo(timezone)).toordinal()


def _midnight(number: int, timezone: str) -> datetime:
    local = datetime.combine(datetime.fromordinal(number).date(), time(), ZoneInfo(timezone))
    return local.astimezone(UTC)

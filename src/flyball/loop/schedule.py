"""Cron schedules in the project's time zone. Pure: which slot, if any, has come since the last one considered."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def latest_slot(cron: str, timezone: str, *, after: datetime, now: datetime) -> datetime | None:
    """The last slot in (after, now], aware UTC; None when none has come. Slots missed in between count as this one.

    Days of daylight saving are as Debian's cron has them (cronsim): a skipped hour's slot comes right after it.
    """
    zone = ZoneInfo(timezone)
    found = None
    for slot in CronSim(cron, after.astimezone(zone)):
        if slot > now:
            break
        found = slot
    return None if found is None else found.astimezone(UTC)

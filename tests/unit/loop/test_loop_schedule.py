"""Cron slots in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime

from flyball.loop.schedule import latest_slot

NEW_YORK = "America/New_York"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_no_slot_between_is_none() -> None:
    """Tuesday to Sunday holds no Monday."""
    assert latest_slot("0 4 * * 1", NEW_YORK, after=at("2013-03-05T12:00"), now=at("2013-03-10T12:00")) is None


def test_a_slot_is_local_time() -> None:
    """Monday 4 March 04:00 in New York (EST) is 09:00 UTC; a week later, in daylight time, 08:00."""
    assert latest_slot("0 4 * * 1", NEW_YORK, after=at("2013-03-01T00:00"), now=at("2013-03-05T00:00")) == at(
        "2013-03-04T09:00"
    )
    assert latest_slot("0 4 * * 1", NEW_YORK, after=at("2013-03-05T00:00"), now=at("2013-03-12T00:00")) == at(
        "2013-03-11T08:00"
    )


def test_missed_slots_count_as_the_last_one() -> None:
    """After a month away there is one slot to consider, the newest."""
    assert latest_slot("0 4 * * 1", "UTC", after=at("2013-03-01T00:00"), now=at("2013-04-01T05:00")) == at(
        "2013-04-01T04:00"
    )


def test_now_belongs_to_the_slot_and_after_does_not() -> None:
    """(after, now]: a slot is considered once."""
    slot = at("2013-03-04T04:00")

    assert latest_slot("0 4 * * 1", "UTC", after=at("2013-03-01T00:00"), now=slot) == slot
    assert latest_slot("0 4 * * 1", "UTC", after=slot, now=slot) is None

"""What serving workers tell of their journals is one alert, open while any of them is in trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flyball.loop import alerts
from flyball.loop.site import Site
from flyball.loop.telling import deliver_pending
from flyball.serving.episodes import QUIET_S, Episodes
from flyball.serving.writing import Fault
from tests.integration.loop.conftest import DAY, START

NOW = START + DAY
FULL = [Fault(True, "the journal of predictions sheds records: no space")]


def worker(site: Site, index: int, said: list[Any]) -> Episodes:
    return Episodes(site.home, index, said.append)


def statuses(site: Site) -> list[tuple[str, str, bool]]:
    """(severity, title, open) of every alert of the journal."""
    found = alerts.alerts(site.database)
    return [(item.severity, item.title, item.resolved_at is None) for item in found if item.name == "journal"]


def test_an_episode_opens_and_ends_an_alert(site: Site) -> None:
    """Once each, however often it is looked at; a moment of peace in between is not its end."""
    said: list[Any] = []
    one = worker(site, 0, said)
    for second in range(3):
        one.look(FULL, ["late"], now_s=float(second))
        one.look([], ["late"], now_s=second + 0.5)
    deliver_pending(site, now=NOW)
    title = "late: worker 0: the journal of predictions sheds records: no space"
    assert statuses(site) == [("critical", title, True)]
    one.look([], ["late"], now_s=2.5 + QUIET_S)
    one.look([], ["late"], now_s=3.5 + QUIET_S)
    deliver_pending(site, now=NOW)
    assert statuses(site) == [("critical", title, False)]
    assert [item["status"] for item in said] == ["firing", "resolved"]
    one.close()


def test_the_alert_is_open_while_any_worker_is_in_trouble(site: Site) -> None:
    """Two workers on one full disk are one alert; it ends with the last of them."""
    one, two = worker(site, 0, []), worker(site, 1, [])
    for item in (one, two):
        item.look(FULL, ["late"], now_s=0.0)
        item.look([], ["late"], now_s=1.0)
    one.look([], ["late"], now_s=1.0 + QUIET_S)
    deliver_pending(site, now=NOW)
    assert [is_open for _, _, is_open in statuses(site)] == [True]
    two.look([], ["late"], now_s=1.0 + QUIET_S)
    deliver_pending(site, now=NOW)
    assert [is_open for _, _, is_open in statuses(site)] == [False]
    one.close()
    two.close()


def test_a_successor_ends_what_a_killed_worker_began(site: Site) -> None:
    """It finds the unfinished episode of its index, and no other's."""
    dead = worker(site, 0, [])
    dead.look(FULL, ["late"], now_s=0.0)
    dead.close()
    other, next_one = worker(site, 1, []), worker(site, 0, [])
    for second in (0.0, QUIET_S, 2 * QUIET_S):
        other.look([], ["late"], now_s=second)
    deliver_pending(site, now=NOW)
    assert [is_open for _, _, is_open in statuses(site)] == [True]
    for second in (0.0, 1.0, 1.0 + QUIET_S):
        next_one.look([], ["late"], now_s=second)
    deliver_pending(site, now=NOW)
    assert [is_open for _, _, is_open in statuses(site)] == [False]
    other.close()
    next_one.close()


def test_what_could_not_be_told_is_told_when_the_database_is_there(site: Site) -> None:
    """Away while it began: the log has it at once, the alert when the database is back."""
    said: list[Any] = []
    one = worker(site, 0, said)
    site.database.close()
    away: Path = site.home.path / "away.db"
    site.home.database.rename(away)
    one.look(FULL, ["late"], now_s=0.0)
    assert [item["status"] for item in said] == ["firing"]
    away.rename(site.home.database)
    one.look(FULL, ["late"], now_s=1.0)
    deliver_pending(site, now=NOW)
    assert [is_open for _, _, is_open in statuses(site)] == [True]
    one.close()


def test_records_that_are_only_late_are_a_warning(site: Site) -> None:
    """Nothing is lost yet."""
    one = worker(site, 0, [])
    one.look([Fault(False, "the journal of predictions is written late")], ["late"], now_s=0.0)
    deliver_pending(site, now=NOW)
    assert [severity for severity, _, _ in statuses(site)] == ["warning"]
    one.close()

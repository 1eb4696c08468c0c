"""Four eyes: what passed its gate waits for somebody else than who wanted it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flyball.dashboard.acts import request_retrain
from flyball.errors import Conflict, NotFound
from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.registry import approvals, audit, live
from flyball.registry.decisions import decisions
from flyball.registry.tokens import Principal
from flyball.registry.versions import versions
from flyball.rollout import move
from tests.integration.loop.conftest import DAY, START, settled

pytestmark = pytest.mark.slow  # training runs, one after another

LATER = START + 7 * DAY
HOUR = timedelta(hours=1)


@pytest.fixture
def asking(site: Site) -> Site:
    """v1 is live; what passes next waits for two days."""
    return settled(site, gate={"approval": "human", "approval_timeout_s": 2 * 86_400.0}, retrain={"mode": "off"})


def approve(site: Site, number: int, who: str, now: timedelta = HOUR) -> str:
    return move.approve(site.database, site.home, "late", number, who=who, why="looks right", now=LATER + now)


def stages(site: Site) -> list[str]:
    return [item.stage for item in versions(site.database, "late")]


def test_what_passed_waits_in_staging_and_that_is_told(asking: Site) -> None:
    """Nothing that answers moves; an alert names the version, who wanted it, and the command."""
    before = live.history(asking.database, "late")
    made = release.retrain(asking, now=LATER, why="a week has passed", who="ada")
    assert (made.passed, made.rollout, stages(asking)) == (True, "approval", ["production", "staging"])
    assert live.history(asking.database, "late") == before
    (alert,) = alerts(asking.database, open_only=True)
    assert alert.title == (
        "late v2 passed its gate and waits until 2013-04-17 05:00Z for another's approval than ada's: `flyball approve late@2`"
    )


def test_who_wanted_it_cannot_approve_it(asking: Site) -> None:
    """Nor promote it instead; another can, and both names are kept."""
    release.retrain(asking, now=LATER, why="a week has passed", who="ada")
    with pytest.raises(Conflict, match="was wanted by ada; somebody else must approve it, and you are ada"):
        approve(asking, 2, "ada")
    with pytest.raises(Conflict, match="needs another person's approval and has none"):
        move.promote(asking.database, asking.home, "late", 2, who="ada", why="now", now=LATER + HOUR)
    assert approve(asking, 2, "bob") == "full"
    assert stages(asking) == ["archived", "production"]
    promoted, approved = audit.entries(asking.database)[:2]
    assert (approved.who, approved.act, approved.becomes, approved.why) == (
        "bob",
        "approve",
        "v2 approved",
        "looks right (wanted by ada)",
    )
    assert promoted.why == "v2 approved by bob, wanted by ada: looks right"
    tick(asking, now=LATER + 2 * HOUR)
    assert alerts(asking.database, open_only=True) == []
    with pytest.raises(Conflict, match="v2 of late waits no longer: approved by bob"):
        approve(asking, 2, "eve")


def test_nobody_in_time_is_no(asking: Site) -> None:
    """It is put away, with a decision; it can neither be approved nor promoted any more."""
    release.retrain(asking, now=LATER, why="a week has passed", who="ada")
    with pytest.raises(Conflict, match="was to be approved until 2013-04-17 05:00Z"):
        approve(asking, 2, "bob", now=2 * DAY)
    tick(asking, now=LATER + 2 * DAY)
    assert stages(asking) == ["production", "archived"]
    assert decisions(asking.database, "late", kind="rollout")[0].verdict == "expired"
    assert alerts(asking.database, open_only=True) == []
    with pytest.raises(Conflict, match=r"has none \(expired\)"):
        move.promote(asking.database, asking.home, "late", 2, who="bob", why="now", now=LATER + 3 * DAY)


def test_a_newer_candidate_supersedes_one_that_waits(asking: Site) -> None:
    """It was judged on newer rows."""
    for days in (0, 1):
        release.retrain(asking, now=LATER + days * DAY, why="newer rows", who="ada")
    assert stages(asking) == ["production", "archived", "staging"]
    (waiting,) = approvals.waiting(asking.database, "late")
    assert waiting.version == 3
    with pytest.raises(Conflict, match="v2 of late waits no longer: superseded"):
        approve(asking, 2, "bob")


def test_all_who_asked_the_dashboard_are_who_wanted_it(asking: Site) -> None:
    """What the governor wants by itself, any person may approve."""
    for name in ("ada", "bob"):
        request_retrain(
            asking.database, "late", who=Principal(name=name, role="operator"), why="new carrier", key=None, now=LATER
        )
    tick(asking, now=LATER)
    with pytest.raises(Conflict, match="was wanted by ada, bob"):
        approve(asking, 2, "bob")
    assert approve(asking, 2, "eve") == "full"


def test_a_version_that_never_waited_is_told_so(asking: Site) -> None:
    """v1 was live before approvals were asked for: it may be gone back to."""
    with pytest.raises(NotFound, match="v1 of late waits for no approval"):
        approve(asking, 1, "bob")

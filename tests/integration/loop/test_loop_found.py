"""Moves by hand, and what the outbox owes: nothing goes back to a bad version, nothing is hidden, nothing overtakes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flyball.dashboard.acts import request_retrain
from flyball.errors import Mistake
from flyball.loop import release
from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.project.records import Channel
from flyball.registry import live
from flyball.registry.tokens import Principal
from flyball.rollout import book, move
from tests.integration.loop.conftest import START, settled

HOUR = timedelta(hours=1)


@pytest.mark.slow
def test_a_queued_version_promoted_by_hand_has_no_turn_left(site: Site) -> None:
    """It is live: a shadow of itself would be no evidence."""
    queueing = settled(site, retrain={"mode": "off"}, rollout={"strategy": "shadow"}, gate={"change": ()})
    for number in (2, 3):
        release.retrain(queueing, now=START + number * HOUR, why="another recipe", params={"columns": number - 1})
    assert [item.status for item in book.rollouts(site.database, "late")] == ["queued", "shadow", "full"]
    move.promote(site.database, site.home, "late", 3, who="ada", why="now", now=START + 4 * HOUR)
    tick(queueing, now=START + 5 * HOUR)
    assert [item.status for item in book.rollouts(site.database, "late")] == ["full", "aborted", "full"]
    deployed = live.current(site.database, "late")
    assert deployed is not None
    assert (deployed.live, deployed.shadow) == (3, ())


def test_a_rollback_never_goes_back_to_what_was_rolled_back(site: Site) -> None:
    """Twice back from v2 is not v2 again."""
    quiet = settled(site, retrain={"mode": "off"})
    release.retrain(quiet, now=START + HOUR, why="another recipe", params={"columns": 2})
    back = move.rollback(site.database, site.home, "late", who="ada", why="it broke", now=START + 2 * HOUR)
    assert back.live == 1
    with pytest.raises(Mistake, match="nothing to go back to"):
        move.rollback(site.database, site.home, "late", who="ada", why="again", now=START + 3 * HOUR)


def test_alerts_that_cannot_be_sent_hide_no_wish(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait for a channel that is away."""
    monkeypatch.delenv("LATE_TEST_HOOK", raising=False)
    ops = Channel(name="ops", kind="webhook", url_env="LATE_TEST_HOOK")
    routes = dict.fromkeys(("info", "warning", "critical"), ("ops",))
    silent = settled(site, retrain={"mode": "off"}, alerts={"channels": (ops,), "routes": routes})
    with site.database.write() as tx:
        for _ in range(60):
            open_alert(tx, model="late", name="x", severity="critical", title="x", evidence={}, at=START)
            end_alert(tx, model="late", name="x", at=START, why="y")
    who = Principal(name="ada", role="operator")
    request_retrain(site.database, "late", who=who, why="new carrier", key=None, now=START)
    assert tick(silent, now=START + HOUR).release is not None

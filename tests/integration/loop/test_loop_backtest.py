"""Replays over a history that was really lived: the rules as they are give what was, other rules something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flyball.loop.backtest import Backtest, backtest
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.project.rules import parse_rule
from tests.integration.loop.conftest import DAY, settled
from tests.integration.loop.test_loop_diagnosis import MIDNIGHT, answer, quiet, watched
from tests.integration.loop.test_loop_tick import everything

pytestmark = pytest.mark.slow  # training runs, one after another

#: what happened day by day: nothing, a shift of x1, nulls in x1, the opposite came true.
DAYS = ("quiet", "shift", "quiet", "nulls", "quiet", "flipped", "flipped", "quiet")


def lived(site: Site) -> Site:
    """The days, watched by a loop that only suggests."""
    still = settled(watched(site), retrain={"mode": "suggest"})
    for number, what in enumerate(DAYS):
        day = MIDNIGHT + number * DAY
        served = quiet(day)
        truth = {name: values.copy() for name, values in served.items()}
        if what == "shift":
            served["x1"] += np.float32(2)
        if what == "nulls":
            served["x1"][::2] = np.nan
        answer(site, day, served, flipped=what == "flipped", truth=None if what == "shift" else truth)
    for number in range(len(DAYS) + 1):
        tick(still, now=MIDNIGHT + (number + 1) * DAY)
    return still


def replayed(site: Site, **retrain: object) -> Backtest:
    found = backtest(site.home, site.database, settled(site, retrain=retrain).project, now=MIDNIGHT + 20 * DAY)
    assert found is not None
    return found


def test_the_rules_as_they_are_replay_the_alarms_that_were_and_others_do_not(site: Site) -> None:
    """Same logs, same rules, same alarms; a stricter promise, or fewer features, alarm otherwise; nothing is written."""
    still = lived(site)
    before = everything(still)
    same = replayed(still)
    assert (same.would.drift, same.would.broken, same.would.below) == (same.was.drift, same.was.broken, same.was.below)
    assert same.was.drift == ("2013-04-09", "2013-04-11")
    assert same.was.broken == ("2013-04-11",)
    assert same.was.below[-2:] == ("2013-04-13", "2013-04-14")
    assert same.windows == len(DAYS) + 1
    assert (same.was.retrains, same.would.retrains) == ((), ())  # it only suggests

    blind = replace(still, project=replace(still.project, monitor=replace(still.project.monitor, features=("x2",))))
    assert replayed(blind).would.drift == ()
    assert replayed(still, performance=parse_rule("auc < 0.01")).would.below == ()

    # acting by itself: each day that asks, a cooldown apart
    acting = replayed(still, mode="auto").would.retrains
    assert acting[0] == MIDNIGHT + 2 * DAY  # when the shifted day had closed
    assert len(replayed(still, mode="auto", cooldown_s=5 * 86_400.0).would.retrains) < len(acting)
    assert len(replayed(still, mode="auto", budget=1).would.retrains) == 1
    assert everything(still) == before


def test_a_model_that_was_never_watched_has_nothing_to_replay(site: Site) -> None:
    """No window, no answer."""
    assert backtest(site.home, site.database, site.project, now=MIDNIGHT) is None

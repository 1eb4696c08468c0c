"""Beats of the loop: what asks for a retrain is considered once, and every answer is written down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flyball.dashboard.acts import request_retrain
from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.pipeline.runs import runs_of
from flyball.registry import live
from flyball.registry.decisions import decisions
from flyball.registry.tokens import Principal
from flyball.registry.versions import version
from flyball.rollout import book
from flyball.store.outbox import pending
from tests.integration.loop.conftest import DAY, START, Answer, aliases, settled

HOUR = timedelta(hours=1)
MIDNIGHT = START.replace(hour=0)


def retrains(site: Site) -> list[tuple[str, str]]:
    """Decisions about retrains, oldest first."""
    found = reversed(decisions(site.database, "late", kind="retrain"))
    return [(item.subject, item.verdict) for item in found]


def everything(site: Site) -> list[tuple[object, ...]]:
    """Every row that a beat may write."""
    tables = ("run", "version", "deployment", "rollout", "decision", "window", "alert", "audit", "outbox")
    return [tuple(row) for table in tables for row in site.database.all(f'SELECT * FROM "{table}"')]


def test_a_slot_of_the_schedule_is_considered_once(site: Site) -> None:
    """Held by the cooldown, with the reason; the same slot again, at later beats, is no news."""
    assert tick(site, now=START + HOUR).release is None
    assert retrains(site) == []
    for hours in (23, 24, 30):
        assert tick(site, now=START + hours * HOUR).release is None
    assert retrains(site) == [("schedule 2013-04-09T04:00Z", "hold")]
    (held, *_) = decisions(site.database, "late", kind="retrain")
    assert held.reason == "schedule 0 4 * * * (Tue 04:00); not retrained: 23 h since the last run, cooldown is 3 days"
    assert tick(site, now=START + 47 * HOUR).release is None
    assert retrains(site)[1:] == [("schedule 2013-04-10T04:00Z", "hold")]


def test_slots_that_were_slept_through_are_one(site: Site) -> None:
    """A loop that was away for days trains once, for the last of them, and not again at the next beat."""
    made = tick(site, now=START + 9.5 * DAY).release
    assert made is not None
    assert (made.version, made.passed) == (2, True)
    assert retrains(site) == [("schedule 2013-04-17T04:00Z", "retrain")]
    newest = runs_of(site.database, "late")[0]
    assert (newest.reason, newest.window.end, newest.decided_at) == ("schedule", *[START + 9.5 * DAY] * 2)
    before = everything(site)
    assert tick(site, now=START + 9.5 * DAY).release is None
    assert everything(site) == before


def test_a_site_that_suggests_only_says_so(site: Site) -> None:
    """mode = suggest: the decision is written, no run begins."""
    assert tick(settled(site, retrain={"mode": "suggest"}), now=START + 4 * DAY).release is None
    assert retrains(site) == [("schedule 2013-04-12T04:00Z", "suggest")]
    assert len(runs_of(site.database, "late")) == 1


def test_a_drifted_day_opens_one_alert_that_two_steady_days_end(site: Site, answer: Answer, said: list[str]) -> None:
    """Told once when it opens and once when it ends, however often the loop beats; the governor hears of it once."""
    answer(MIDNIGHT, shift=2.0)
    answer(MIDNIGHT + DAY)
    answer(MIDNIGHT + 2 * DAY)
    for hours in (24, 25, 26):
        tick(site, now=MIDNIGHT + hours * HOUR)
    (drifted,) = alerts(site.database)
    assert (drifted.name, drifted.severity, drifted.since, drifted.resolved_at) == (
        "drift",
        "warning",
        MIDNIGHT + DAY,
        None,
    )
    assert set(drifted.evidence["features"]) >= {"x1", "x2"}
    assert len(said) == 1
    assert said[0].startswith("warning: late: ")
    assert retrains(site) == [("drift 2013-04-08", "hold")]

    tick(site, now=MIDNIGHT + 48 * HOUR)
    assert [item.resolved_at for item in alerts(site.database)] == [None]
    for hours in (72, 73):
        tick(settled(site, retrain={"mode": "off"}), now=MIDNIGHT + hours * HOUR)
    (ended,) = alerts(site.database)
    assert ended.resolved_at == MIDNIGHT + 3 * DAY
    assert said[1:] == ["resolved: late: inputs steady on 2013-04-10"]
    verdicts = [(item.subject, item.verdict) for item in decisions(site.database, "late", kind="drift")]
    assert verdicts == [("2013-04-10", "steady"), ("2013-04-09", "steady"), ("2013-04-08", "drift")]
    assert pending(site.database) == []


def test_a_drifted_day_retrains_once_when_nothing_holds_it(site: Site, answer: Answer) -> None:
    """Without a cooldown: one run, whose reason is the drift; the same day asks no second time."""
    quick = settled(site, retrain={"cooldown_s": 0.0}, pipeline={"schedule": None})
    answer(MIDNIGHT, shift=2.0)
    made = tick(quick, now=MIDNIGHT + DAY).release
    assert made is not None
    run = runs_of(site.database, "late")[0]
    assert (run.id, run.reason) == (made.run, "drift")
    assert "2013-04-08" in run.why
    assert tick(quick, now=MIDNIGHT + DAY + HOUR).release is None
    assert retrains(site) == [("drift 2013-04-08", "retrain")]


def test_a_share_of_new_outcomes_retrains_once_the_cooldown_is_over(site: Site, answer: Answer) -> None:
    """A twentieth of v1's rows is between 200 and 400: one day's outcomes are too few, two days' wait for the cooldown."""
    growing = settled(
        site,
        pipeline={"schedule": None},
        retrain={"on": ("volume",), "new_rows_share": 0.05, "cooldown_s": 3 * DAY.total_seconds()},
    )
    trained = version(site.database, "late", 1).lineage.data_rows
    answer(MIDNIGHT)
    assert tick(growing, now=MIDNIGHT + 4 * DAY).release is None
    assert retrains(site) == []
    answer(MIDNIGHT + DAY)
    assert (
        tick(settled(growing, retrain={"cooldown_s": 5 * DAY.total_seconds()}), now=MIDNIGHT + 4.1 * DAY).release
        is None
    )
    assert retrains(site) == []  # not lost: it is looked at again
    made = tick(growing, now=MIDNIGHT + 4.2 * DAY).release
    assert made is not None
    (decided,) = decisions(site.database, "late", kind="retrain")
    assert decided.verdict == "retrain"
    wanted = round(trained / 20)
    assert decided.reason == (
        f"400 new outcomes, {wanted:,} make a retrain (v1 learnt from {trained:,} rows); 4 days since the last run"
    )


def test_wishes_of_people_start_one_run(site: Site) -> None:
    """Two wishes before a beat are one run that names both; cooldown is for the governor, not for people."""
    for name, why in (("ada", "new carrier"), ("bob", "why not")):
        who = Principal(name=name, role="operator")
        request_retrain(site.database, "late", who=who, why=why, key=None, now=START + HOUR)
    made = tick(site, now=START + 2 * HOUR).release
    assert made is not None
    run = runs_of(site.database, "late")[0]
    assert (run.id, run.reason, run.why) == (made.run, "manual", "ada: new carrier; bob: why not")
    assert tick(site, now=START + 3 * HOUR).release is None
    assert len(runs_of(site.database, "late")) == 2


def test_a_shadow_goes_full_when_it_is_no_worse(site: Site, answer: Answer) -> None:
    """It waits for outcomes, then answers; MLflow's aliases follow each move."""
    careful = settled(site, rollout={"strategy": "shadow", "min_outcomes": 150}, retrain={"mode": "off"})
    made = release.retrain(careful, now=START + 2 * HOUR, why="another recipe", params={"columns": 2})
    assert made.rollout == "shadow"
    assert tick(careful, now=START + 3 * HOUR).rolled is None
    assert aliases(site) == {"production": 1, "shadow": 2}
    answer(MIDNIGHT, shadow=2)
    assert tick(careful, now=MIDNIGHT + DAY).rolled == "v2 full"
    assert aliases(site) == {"production": 2}
    assert [item.stage for item in (version(site.database, "late", 1), version(site.database, "late", 2))] == [
        "archived",
        "production",
    ]
    (rolled,) = decisions(site.database, "late", kind="rollout")
    assert (rolled.subject, rolled.verdict, rolled.evidence["labelled"]) == ("v2", "full", 200)
    before = everything(site)
    assert tick(careful, now=MIDNIGHT + DAY).rolled is None
    assert everything(site) == before


@pytest.mark.parametrize(("labels", "told"), [(True, "worse than v1 beyond chance"), (False, "undecided for 3 days")])
def test_a_shadow_that_is_worse_or_cannot_be_judged_is_aborted(
    site: Site, answer: Answer, labels: bool, told: str
) -> None:
    """The champion goes on alone, and the reason is kept."""
    lenient = settled(
        site,
        gate={"change": (), "always": ()},
        rollout={"strategy": "shadow", "min_outcomes": 150, "max_days": 3.0},
        retrain={"mode": "off"},
    )
    release.retrain(lenient, now=START + 2 * HOUR, why="a mistake", params={"shuffle": True})
    answer(MIDNIGHT, shadow=2, labels=labels, count=2_000)
    now = MIDNIGHT + (DAY if labels else 4 * DAY)
    assert tick(lenient, now=now).rolled == "v2 aborted"
    assert told in decisions(site.database, "late", kind="rollout")[0].reason
    deployed = live.current(site.database, "late")
    assert deployed is not None
    assert (deployed.live, deployed.shadow) == (1, ())
    assert book.active(site.database, "late") is None
    assert aliases(site) == {"production": 1}

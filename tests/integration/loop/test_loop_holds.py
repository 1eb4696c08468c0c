"""What a rollback and a freeze keep Flyball from doing, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flyball.errors import Conflict
from flyball.loop import release
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.registry import audit, chain, holds, live
from flyball.registry.decisions import decisions
from flyball.registry.versions import version, versions
from flyball.rollout import move
from tests.integration.loop.conftest import DAY, START

pytestmark = pytest.mark.slow  # training runs, one after another

LATER = START + 7 * DAY
HOUR = timedelta(hours=1)


@pytest.fixture
def back(site: Site) -> Site:
    """v2 was live for an hour, and was rolled back from."""
    assert release.retrain(site, now=LATER, why="a week has passed").rollout == "full"
    move.rollback(site.database, site.home, "late", who="ada", why="it broke", now=LATER + HOUR)
    return site


def stages(site: Site) -> list[str]:
    return [item.stage for item in versions(site.database, "late")]


def test_the_version_rolled_back_from_is_barred(back: Site) -> None:
    """By hand it comes back only when that is said; then it is barred no longer."""
    promote = {"who": "ada", "why": "mended", "now": LATER + 2 * HOUR}
    with pytest.raises(Conflict, match="v2 of late was barred by ada at 2013-04-15 06:00Z: it broke; `--despite-bar`"):
        move.promote(back.database, back.home, "late", 2, **promote)  # type: ignore[arg-type]
    assert stages(back) == ["production", "archived"]
    move.promote(back.database, back.home, "late", 2, despite_bar=True, **promote)  # type: ignore[arg-type]
    assert stages(back) == ["archived", "production"]
    assert holds.bars(back.database, "late") == []


def test_the_governor_is_held_until_that_is_lifted(back: Site) -> None:
    """What asks for a retrain is recorded with what it waits for; lifted, the next slot retrains."""
    assert tick(back, now=LATER + DAY).release is None
    (held, *_) = decisions(back.database, "late", kind="retrain")
    assert held.verdict == "hold"
    assert "not retrained: held since the rollback by ada at 2013-04-15 06:00Z, until `flyball freeze late --lift`" in (
        held.reason
    )
    with back.database.write() as tx:
        (ended,) = holds.lift(tx, model="late", who="bob", why="the feed is mended", now=LATER + 2 * DAY)
    assert (ended.kind, holds.held(back.database, "late", LATER + 2 * DAY)) == ("rollback", None)
    done = tick(back, now=LATER + 5 * DAY).release
    assert done is not None
    assert done.passed
    assert live.current(back.database, "late").live == 3  # type: ignore[union-attr]
    assert [(item.who, item.act) for item in audit.entries(back.database)][:2] == [
        ("flyball", "promote"),
        ("bob", "lift"),
    ]
    assert chain.verify(back.database).faults == ()


def test_the_same_rows_do_not_bring_a_barred_version_back(back: Site) -> None:
    """The same recipe on the same rows is that version again, under another number: refused, though every rule holds."""
    made = release.retrain(back, now=LATER, why="once more")
    assert (made.passed, made.version) == (False, 3)
    assert [line.passed for line in made.verdict.results] == [True] * (len(made.verdict.results) - 1) + [False]
    assert (
        "made of the same rows by the same recipe as a version that is barred: v2 of late"
        in made.verdict.results[-1].why
    )
    assert (
        version(back.database, "late", 3).lineage.data_digest == version(back.database, "late", 2).lineage.data_digest
    )


def test_a_second_rollback_goes_behind_what_is_barred(back: Site) -> None:
    """Not to the version that was barred the first time."""
    release.retrain(back, now=LATER + 3 * DAY, why="newer rows")
    move.promote(back.database, back.home, "late", 3, who="ada", why="by hand", now=LATER + 4 * DAY)
    again = move.rollback(back.database, back.home, "late", who="ada", why="no better", now=LATER + 5 * DAY)
    assert again.live == 1
    assert [item.version for item in holds.bars(back.database, "late")] == [2, 3]


@pytest.mark.parametrize("model", ["late", holds.EVERY])
def test_what_passes_its_gate_while_frozen_waits(site: Site, model: str) -> None:
    """A run by hand goes on, its candidate waits in staging; after the freeze its turn comes by itself."""
    until = LATER + 2 * DAY
    with site.database.write() as tx:
        holds.hold(tx, model=model, kind="freeze", until=until, who="ada", why="a fair", now=LATER)
    made = release.retrain(site, now=LATER, why="by hand")
    assert (made.passed, made.rollout, stages(site)) == (True, "queued", ["production", "staging"])
    tick(site, now=until - HOUR)
    assert stages(site) == ["production", "staging"]
    tick(site, now=until)
    assert stages(site) == ["archived", "production"]
    assert audit.entries(site.database)[1].becomes == f"frozen until {until:%Y-%m-%dT%H:%M:%S.000000Z}"


def test_another_model_is_not_held(site: Site) -> None:
    """A freeze is of one model, or of all."""
    with site.database.write() as tx:
        holds.hold(tx, model="other", kind="freeze", until=None, who="ada", why="a fair", now=LATER)
    assert holds.held(site.database, "late", LATER) is None
    assert release.retrain(replace(site), now=LATER, why="by hand").rollout == "full"

"""Every way into production asks the same: not put away, not barred, passed by its gate, and it loads and answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from flyball.errors import Conflict, Mistake, Refused
from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.runs import runs_of
from flyball.project.load import load_project
from flyball.registry import approvals, audit, chain, holds, live
from flyball.registry.decisions import decisions
from flyball.registry.projects import add_project
from flyball.registry.versions import version, versions
from flyball.rollout import advance, book, move, putting_away
from flyball.rollout.proof import try_version
from tests.integration.loop.conftest import DAY, START, Answer, mlflow_versions, settled, write_project

pytestmark = pytest.mark.slow  # training runs, one after another

LATER = START + 7 * DAY
HOUR = timedelta(hours=1)
UNTIL = LATER + 2 * DAY


@pytest.fixture
def waiting(site: Site) -> Site:
    """v1 is live; v2 passed its gate during a freeze, and waits for its turn until UNTIL."""
    quiet = settled(site, retrain={"mode": "off"})
    with quiet.database.write() as tx:
        holds.hold(tx, model="late", kind="freeze", until=UNTIL, who="ada", why="a fair", now=LATER)
    assert release.retrain(quiet, now=LATER, why="by hand").rollout == "queued"
    return quiet


@pytest.fixture
def refused(site: Site) -> Site:
    """v1 is live, v2 was refused by its gate."""
    quiet = settled(site, retrain={"mode": "off"})
    assert not release.retrain(quiet, now=LATER, why="a mistake", params={"shuffle": True}).passed
    return quiet


def spoil(site: Site, number: int) -> None:
    """As a disk does."""
    (site.home.path / version(site.database, "late", number).bundle / "model.onnx").write_bytes(b"spoilt")


def live_now(site: Site) -> int:
    deployed = live.current(site.database, "late")
    assert deployed is not None
    return deployed.live


def ended(site: Site) -> tuple[str, str]:
    """How the newest rollout ended, and why."""
    newest = decisions(site.database, "late", kind="rollout", limit=1)[0]
    assert newest.verdict == book.rollouts(site.database, "late")[0].status
    return newest.verdict, newest.reason


def open_names(site: Site) -> list[str]:
    return [item.name for item in alerts(site.database, open_only=True)]


def test_what_was_archived_while_it_waited_never_has_its_turn(waiting: Site) -> None:
    """Its rollout ends with it, as a decision; the audit and its chain have the act."""
    putting_away.archive(waiting.database, "late", 2, who="bob", why="it lost", now=LATER + HOUR)
    assert ended(waiting) == ("aborted", "v2 was archived by bob: it lost")
    tick(waiting, now=UNTIL)
    assert live_now(waiting) == 1
    assert version(waiting.database, "late", 2).stage == "archived"
    assert audit.entries(waiting.database, limit=1)[0].act == "archive"
    assert chain.verify(waiting.database).faults == ()


def test_a_rollout_left_open_for_an_archived_version_ends_at_its_turn(waiting: Site) -> None:
    """As a home of the release before may have one."""
    with waiting.database.write() as tx:
        tx.run("UPDATE version SET stage = 'archived' WHERE number = 2")
    tick(waiting, now=UNTIL)
    assert live_now(waiting) == 1
    verdict, why = ended(waiting)
    assert verdict == "aborted"
    assert why.startswith("v2 of late is archived;")


def test_what_is_barred_while_it_waits_never_has_its_turn(waiting: Site) -> None:
    """Put live by hand and rolled back from, it does not come back by its turn; nor does a bar alone let it."""
    move.promote(waiting.database, waiting.home, "late", 2, who="ada", why="now", now=LATER + HOUR)
    move.rollback(waiting.database, waiting.home, "late", who="ada", why="it broke", now=LATER + 2 * HOUR)
    with waiting.database.write() as tx:
        holds.lift(tx, model="late", who="ada", why="mended", now=LATER + 3 * HOUR)
        tx.run("UPDATE rollout SET status = 'queued' WHERE candidate = 2")
        tx.run("UPDATE version SET stage = 'staging' WHERE number = 2")
    tick(waiting, now=UNTIL)
    assert live_now(waiting) == 1
    assert ended(waiting)[1].startswith("v2 of late was barred by ada")


def test_a_bundle_spoilt_while_it_waits_fails_its_rollout(waiting: Site) -> None:
    """What was live goes on, a decision and an alert name the file, and the loop goes on: the next one goes live."""
    spoil(waiting, 2)
    assert tick(waiting, now=UNTIL).rolled == "v2 failed"
    assert live_now(waiting) == 1
    verdict, why = ended(waiting)
    assert verdict == "failed"
    assert "v2 cannot answer, and does not go live" in why
    assert "model.onnx" in why
    assert open_names(waiting) == ["rollout_failed"]
    assert version(waiting.database, "late", 2).stage == "archived"
    assert tick(waiting, now=UNTIL + HOUR).rolled is None
    assert release.retrain(waiting, now=UNTIL + DAY, why="again").rollout == "full"
    assert live_now(waiting) == 3
    assert open_names(waiting) == []


def test_a_shadow_whose_bundle_is_spoilt_does_not_go_full(site: Site, answer: Answer) -> None:
    """Though its outcomes say yes; it scores no more rows beside what is live."""
    careful = settled(site, rollout={"strategy": "shadow", "min_outcomes": 150}, retrain={"mode": "off"})
    made = release.retrain(careful, now=START + HOUR, why="another recipe", params={"columns": 2})
    assert made.rollout == "shadow"
    answer(START.replace(hour=0), shadow=2)
    spoil(careful, 2)
    assert tick(careful, now=START + 3 * DAY).rolled == "v2 failed"
    deployed = live.current(careful.database, "late")
    assert deployed is not None
    assert (deployed.live, deployed.shadow) == (1, ())
    assert ended(careful)[0] == "failed"
    assert open_names(careful) == ["rollout_failed"]


def test_a_bundle_spoilt_before_it_starts_directly_fails_its_rollout(site: Site) -> None:
    """Between its gate and its registration; the run is finished, the version there, and not live."""

    def checkpoint(passed: str) -> None:
        if passed == "tracked":
            run = runs_of(site.database, "late")[0]
            for path in (site.home.runs / run.id).rglob("model.onnx"):
                path.write_bytes(b"spoilt")

    made = release.retrain(site, now=LATER, why="by hand", checkpoint=checkpoint)
    assert (made.passed, made.rollout) == (True, "failed")
    assert live_now(site) == 1
    assert (ended(site)[0], open_names(site)) == ("failed", ["rollout_failed"])
    assert version(site.database, "late", 2).stage == "archived"


def test_a_rollout_that_was_ended_meanwhile_is_not_moved(waiting: Site) -> None:
    """What was read before a person acted does not overrule the person."""
    read = book.queued(waiting.database, "late")
    assert read is not None
    proof = try_version(waiting.database, waiting.home, "late", 2)
    putting_away.archive(waiting.database, "late", 2, who="bob", why="it lost", now=UNTIL)
    with waiting.database.write() as tx:
        status = advance.start_queued(tx, read, proof=proof, strategy="direct", columns={}, now=UNTIL)
    assert (status, live_now(waiting)) == ("queued", 1)


def test_what_was_proven_of_one_version_says_nothing_of_another(waiting: Site) -> None:
    """A proof names what was tried."""
    proof = try_version(waiting.database, waiting.home, "late", 1)
    read = book.queued(waiting.database, "late")
    assert read is not None
    with waiting.database.write() as tx, pytest.raises(Conflict, match="v1 of late was tried, not v2"):
        advance.start_queued(tx, read, proof=proof, strategy="direct", columns={}, now=UNTIL)


def test_an_archived_version_waits_for_no_approval(site: Site) -> None:
    """It cannot be approved any more, and its alert ends."""
    asking = settled(site, gate={"approval": "human"}, retrain={"mode": "off"})
    release.retrain(asking, now=LATER, why="a week has passed", who="ada")
    putting_away.archive(asking.database, "late", 2, who="bob", why="it lost", now=LATER + HOUR)
    assert approvals.waiting(asking.database, "late") == []
    with pytest.raises(Conflict, match="v2 of late waits no longer: withdrawn by bob"):
        move.approve(asking.database, asking.home, "late", 2, who="eve", why="fine", now=LATER + 2 * HOUR)
    tick(asking, now=LATER + 2 * HOUR)
    assert open_names(asking) == []


def test_a_refused_version_is_promoted_only_despite_its_gate(refused: Site) -> None:
    """Refused with the verdict's sentence; despite it, the audit says so."""
    by_hand = {"who": "ada", "why": "the gate's rows are wrong", "now": LATER + HOUR}
    with pytest.raises(Refused, match=r"v2 of late was refused by its gate: .*`--despite-gate --why"):
        move.promote(refused.database, refused.home, "late", 2, **by_hand)  # type: ignore[arg-type]
    assert live_now(refused) == 1
    move.promote(refused.database, refused.home, "late", 2, despite_gate=True, **by_hand)  # type: ignore[arg-type]
    entry = audit.entries(refused.database, limit=1)[0]
    assert (entry.who, entry.was, entry.becomes, entry.why) == ("ada", "v1", "v2", "the gate's rows are wrong")
    assert (entry.gate, entry.evidence["despite_gate"]) == ("refused", True)
    assert entry.evidence["gate"]["reason"].startswith("refused")


def test_a_rollback_keeps_the_verdict_too_and_needs_none(refused: Site) -> None:
    """Back to v1, whose gate passed it; and forth to nothing that was not live."""
    move.promote(refused.database, refused.home, "late", 2, who="ada", why="try", now=LATER + HOUR, despite_gate=True)
    move.rollback(refused.database, refused.home, "late", who="ada", why="it broke", now=LATER + 2 * HOUR)
    entry = audit.entries(refused.database, limit=1)[0]
    assert (entry.act, entry.gate, "despite_gate" in entry.evidence) == ("rollback", "passed", False)


def test_nothing_is_rolled_back_to_itself(refused: Site) -> None:
    """v1, v2, v1 again, v2 again, and back to v1: what lay before that is v1, and v2, which is barred."""
    for hour, number in enumerate((2, 1, 2), 1):
        at = LATER + hour * HOUR
        move.promote(refused.database, refused.home, "late", number, who="ada", why="x", now=at, despite_gate=True)
    move.rollback(refused.database, refused.home, "late", who="ada", why="it broke", now=LATER + 4 * HOUR)
    assert live_now(refused) == 1
    with pytest.raises(
        Mistake, match=r"v1 of late has no version before it that is not barred \(v2\); .* promote late@N"
    ):
        move.rollback(refused.database, refused.home, "late", who="ada", why="again", now=LATER + 5 * HOUR)


def test_a_refused_version_gets_not_around_four_eyes(refused: Site, tmp_path: Path) -> None:
    """Where the project wants two people, one alone puts no refused version live, whatever they say."""
    folder = write_project(tmp_path / "asking")
    settings = folder / "flyball.toml"
    settings.write_text(settings.read_text().replace("[gate]", '[gate]\napproval = "human"'))
    assert load_project(folder).gate.approval == "human"
    with refused.database.write() as tx:
        tx.run("DELETE FROM project")
        add_project(tx, name="late", directory=folder, at=LATER)
    with pytest.raises(Conflict, match='under \\[gate\\] approval = "human" nobody puts it live alone'):
        move.promote(refused.database, refused.home, "late", 2, who="ada", why="x", now=LATER + HOUR, despite_gate=True)
    assert live_now(refused) == 1


def test_a_rollback_is_not_led_astray_by_what_was_archived(refused: Site) -> None:
    """v2 goes live, v3 is put away: back is v1, though the audit's last word before was of v3."""
    assert release.retrain(refused, now=LATER + HOUR, why="newer").rollout == "full"
    putting_away.archive(refused.database, "late", 2, who="bob", why="it lost", now=LATER + 2 * HOUR)
    back = move.rollback(refused.database, refused.home, "late", who="ada", why="it broke", now=LATER + 3 * HOUR)
    assert back.live == 1
    assert [item.stage for item in versions(refused.database, "late")] == ["production", "archived", "archived"]


def test_a_candidate_is_judged_against_what_is_live_in_the_end(refused: Site) -> None:
    """v2 is put live while v3 is judged against v1, and v1 when v4 is with MLflow already: each is scored once more, beside
    what is live then, and nothing is trained twice.
    """
    for moment, number in (("judged", 2), ("tracked", 1)):
        checkpoint = _once(moment, partial(put_live, refused, number))
        made = release.retrain(refused, now=LATER + HOUR, why="x", params={"columns": 2}, checkpoint=checkpoint)
        newest = versions(refused.database, "late")[-1]
        assert (made.verdict.champion, newest.lineage.parent, newest.number) == (number, number, made.version)
        assert live_now(refused) == made.version
        attempts = {step.name: step.attempts for step in steps_of(refused.database, made.run)}
        assert (attempts["train"], attempts["deploy.bundle"], attempts["deploy.score"]) == (1, 1, 2)
    assert set(mlflow_versions(refused)) == {1, 2, 3, 4}


def put_live(site: Site, number: int) -> None:
    at, home = LATER + HOUR, site.home
    move.promote(site.database, home, "late", number, who="ada", why="meanwhile", now=at, despite_gate=True)


def _once(name: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Act when the point is first passed."""
    passed: list[str] = []

    def checkpoint(at: str) -> None:
        passed.append(at)
        if at == name and passed.count(name) == 1:
            act()

    return checkpoint

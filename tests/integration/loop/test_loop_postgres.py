"""The loop goes the same way whichever database remembers it: real steps, real MLflow, the file and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flyball.dashboard import exposition, reads
from flyball.errors import StepFailed
from flyball.journal.carry import carry
from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import open_site
from flyball.loop.telling import deliver_pending
from flyball.loop.tick import tick
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.runs import find_run, runs_of
from flyball.project.load import load_project
from flyball.registry import audit, chain, live
from flyball.registry.decisions import decisions
from flyball.registry.versions import versions
from flyball.rollout import book, move
from flyball.store import Home, open_database
from flyball.store.outbox import pending
from tests.integration.loop.conftest import DAY, START, aliases, write_project

LATER = START + 7 * DAY


@pytest.mark.slow
def test_a_month_of_the_loop(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """First version, beat, refresh, refusal, failure and mend, rollback: every table that the loop knows is written and read."""
    home = Home(tmp_path / "home")
    database = open_database(home, environ)
    with open_site(load_project(write_project(tmp_path / "project")), home, database, lambda _: None) as site:
        first = release.retrain(site, now=START, reason="first", why="the first version")
        assert tick(site, now=START + DAY).release is None
        second = release.retrain(site, now=LATER, why="a week has passed")
        assert (first.passed, second.passed, second.verdict.occasion, second.rollout) == (True, True, "refresh", "full")
        refused = release.retrain(site, now=LATER + DAY, why="a mistake", params={"shuffle": True})
        assert (refused.passed, refused.version) == (False, 3)

        bucket = tmp_path / "bucket"
        with pytest.raises(StepFailed, match="no such bucket") as failed:
            release.retrain(site, now=LATER + 2 * DAY, why="another", params={"columns": 2, "needs": str(bucket)})
        assert [alert.name for alert in alerts(database, open_only=True)] == ["run_failed"]
        bucket.touch()
        mended = release.resume(site, failed.value.run, now=LATER + 3 * DAY)
        assert (mended.run, mended.version, mended.passed) == (failed.value.run, 4, True)
        assert find_run(database, mended.run[:12]).status == "released"
        # Which of the two goes first is for their times to say.
        assert sorted(step.name for step in steps_of(database, mended.run)[:3]) == ["collect", "train", "validate"]

        back = move.rollback(database, home, "late", who="ada", why="it broke", now=LATER + 4 * DAY)
        carry(home, database, now=LATER + 4 * DAY)
        deliver_pending(site, now=LATER + 4 * DAY)
        assert aliases(site) == {"production": back.live}

    assert [item.live for item in live.history(database, "late")] == [1, 2, 4, 2]
    assert [item.stage for item in versions(database, "late")] == ["archived", "production", "none", "archived"]
    assert [item.verdict for item in decisions(database, "late", kind="gate")] == [
        "passed",
        "refused",
        "passed",
        "passed",
    ]
    assert [run.status for run in runs_of(database, "late")] == ["released", "refused", "released", "released"]
    assert book.rollouts(database, "late")[0].status == "full"
    assert audit.entries(database, model="late", limit=1)[0].act == "rollback"
    assert chain.verify(database).faults == ()
    assert pending(database) == []
    assert alerts(database, open_only=True) == []
    assert reads.model_names(database) == ["late"]
    assert b'flyball_retrains_total{model="late",result="refused"} 1.0' in exposition.exposition(database)
    database.close()

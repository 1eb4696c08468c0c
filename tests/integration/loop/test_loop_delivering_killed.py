"""kill -9 between sending and writing that down, in a real process: the message comes again, known as a possible double."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from flyball.loop.alerts import open_alert
from flyball.loop.deliveries import CLAIM_S, possible_doubles
from flyball.loop.site import Site
from flyball.loop.telling import deliver_pending
from flyball.project.load import load_project
from flyball.store import Home, open_database
from flyball.store.outbox import pending
from tests.integration.listener import OK, listening

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
SETTINGS = """
[model]
name = "late"
task = "binary"
adopted = true
target = "y"

[alerts]
routes = { critical = ["ops"] }

[alerts.channels.ops]
kind = "webhook"
url_env = "KILLED_TEST_URL"
"""
CHILD = """
import sys
from pathlib import Path
from tests.integration.loop.test_loop_delivering_killed import NOW, opened
from flyball.loop.telling import deliver_pending

deliver_pending(opened(Path(sys.argv[1])), now=NOW, aliases=False)
"""


def opened(folder: Path) -> Site:
    """The home and project in `folder`; nothing of the site but what deliveries need."""
    home = Home(folder / "home")
    return Site(
        home=home,
        database=open_database(home),
        project=load_project(folder / "project"),
        workers=cast(Any, None),
        tracking_uri="",
        artifact_location="",
        say=print,
    )


@pytest.mark.slow
def test_a_message_whose_sender_was_killed_comes_again_under_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "flyball.toml").write_text(SETTINGS)
    site = opened(tmp_path)
    with site.database.write() as tx:
        open_alert(tx, model="late", name="drift", severity="critical", title="broke", evidence={}, at=NOW)
    with listening(OK) as there:
        monkeypatch.setenv("KILLED_TEST_URL", there.url)
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], cwd=Path(__file__).parents[3])

        def kill() -> None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait(30)

        there.before_answer = kill
        there.wait_for(1, 60)
        assert child.wait(30) == -signal.SIGKILL
        there.before_answer = lambda: None
        deliver_pending(site, now=NOW + timedelta(seconds=CLAIM_S - 1), aliases=False)
        assert len(there.got) == 1  # for all that is known it is being sent still
        assert len(pending(site.database)) == 1
        deliver_pending(site, now=NOW + timedelta(seconds=CLAIM_S), aliases=False)
        deliver_pending(site, now=NOW + timedelta(seconds=CLAIM_S + 60), aliases=False)
    assert there.got[0] == there.got[1]
    assert len(there.got) == 2
    assert len({head["idempotency-key"] for head in there.heads}) == 1
    assert possible_doubles(site.database) == 1
    assert pending(site.database) == []
    site.database.close()

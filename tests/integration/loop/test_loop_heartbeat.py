"""The sign of life on real listeners: asked for while the loop beats, and no beat waits for whoever listens."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyball.loop import heartbeat
from flyball.loop.alerts import open_alert
from flyball.loop.channels.sending import TIMEOUT_S
from flyball.loop.deliveries import undelivered
from flyball.loop.delivering import BEAT_SHARE_S
from flyball.loop.telling import deliver_pending
from flyball.registry.projects import add_project
from flyball.store import Home, open_database
from tests.integration.listener import OK, hanging, listening
from tests.integration.loop.test_loop_delivering_killed import opened

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
SETTINGS = """
[model]
name = "late"
task = "binary"
adopted = true
target = "y"

[alerts]
heartbeat_env = "BEAT_TEST_URL"
routes = { critical = ["stuck", "team"], warning = ["team"] }

[alerts.channels.stuck]
kind = "webhook"
url_env = "STUCK_TEST_URL"

[alerts.channels.team]
kind = "webhook"
url_env = "TEAM_TEST_URL"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "flyball.toml").write_text(SETTINGS)
    return tmp_path


def fire(folder: Path, name: str = "drift") -> None:
    database = open_database(Home(folder / "home"))
    with database.write() as tx:
        open_alert(tx, model="late", name=name, severity="critical", title="broke", evidence={}, at=NOW)
    database.close()


@pytest.mark.parametrize(("last_s", "now_s", "due"), [(None, 0.0, True), (10.0, 69.9, False), (10.0, 70.0, True)])
def test_a_sign_a_minute_is_enough(last_s: float | None, now_s: float, due: bool) -> None:
    assert heartbeat.due(last_s, now_s) is due


def test_the_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(OK) as there:
        monkeypatch.setenv("BEAT_TEST_URL", there.url)
        heartbeat.ping("BEAT_TEST_URL").join(10)
    assert there.got == [{}]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 404 No\r\n\r\n", b""])
def test_what_is_answered_does_not_matter(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor that nothing is configured: a failure is silence, which the other side hears."""
    with listening(answer) as there:
        monkeypatch.setenv("BEAT_TEST_URL", there.url)
        heartbeat.ping("BEAT_TEST_URL").join(10)
        assert there.got == [{}]
    monkeypatch.delenv("BEAT_TEST_URL")
    thread = heartbeat.ping("BEAT_TEST_URL")
    thread.join(10)
    assert not thread.is_alive()


def test_nobody_waits_for_a_listener_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with hanging() as url:
        monkeypatch.setenv("BEAT_TEST_URL", url)
        began = time.monotonic()
        thread = heartbeat.ping("BEAT_TEST_URL")
        assert time.monotonic() - began < TIMEOUT_S / 2
        assert thread.is_alive()
    thread.join(TIMEOUT_S * 2)  # the listener has gone, and with it the wait
    assert not thread.is_alive()


@pytest.mark.slow
def test_a_channel_that_hangs_holds_up_neither_the_beat_nor_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beat ends with the channel's time-out; the other has its message at once, the stuck one's waits."""
    fire(folder)
    site = opened(folder)
    with hanging() as stuck, listening(OK) as team:
        monkeypatch.setenv("STUCK_TEST_URL", stuck)
        monkeypatch.setenv("TEAM_TEST_URL", team.url)
        began = time.monotonic()
        deliver_pending(site, now=NOW, aliases=False)
        assert time.monotonic() - began < BEAT_SHARE_S
        assert [item["name"] for item in team.got] == ["drift"]
        (left,) = undelivered(site.database)
        assert (left.channel, left.status, left.error) == (
            "stuck",
            "waiting",
            "alert channel stuck: webhook failed (TimeoutError)",
        )
    with listening(OK) as mended:
        monkeypatch.setenv("STUCK_TEST_URL", mended.url)
        deliver_pending(site, now=NOW + timedelta(seconds=60), aliases=False)
    assert [item["name"] for item in mended.got] == ["drift"]
    assert len(team.got) == 1
    site.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [False, True], ids=["heard", "hanging"])
def test_the_loop_gives_its_sign_and_tells_alerts_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """The real process: its first beat tells the alert, then the sign is given; a listener that hangs changes nothing."""
    fire(folder)
    site = opened(folder)
    with site.database.write() as tx:
        add_project(tx, name="late", directory=folder / "project", at=NOW)
    with hanging() as silent, listening(OK) as life, listening(OK) as team:
        monkeypatch.setenv("BEAT_TEST_URL", silent if hangs else life.url)
        monkeypatch.setenv("STUCK_TEST_URL", team.url)
        monkeypatch.setenv("TEAM_TEST_URL", team.url)
        loop = subprocess.Popen([sys.executable, "-m", "flyball.loop.process", "--home", str(folder / "home")])
        try:
            team.wait_for(2, 60)
            if not hangs:
                life.wait_for(1, 60)
            fire(folder, "queue")
            team.wait_for(4, 60)  # the next beat
        finally:
            loop.terminate()
            loop.wait(30)
    assert life.got == ([] if hangs else [{}])
    site.database.close()

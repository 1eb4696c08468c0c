"""Deliveries on real listeners: every way to fail, a dead channel beside a living one, silences, repeats, two at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from flyball.loop.alerts import acknowledge, alerts, end_alert, open_alert
from flyball.loop.channels.kinds import tell
from flyball.loop.channels.message import read_message
from flyball.loop.channels.request import Away, Rejected
from flyball.loop.deliveries import possible_doubles, retry, undelivered
from flyball.loop.silences import lift, silence
from flyball.loop.site import Site
from flyball.loop.telling import deliver_pending
from flyball.project.load import load_project
from flyball.project.records import AlertSettings, Channel
from flyball.store import Database, Home, open_database
from flyball.store.outbox import pending
from tests.integration.listener import OK, listening

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
OPS = Channel(name="ops", kind="slack", url_env="OPS_TEST_URL")
TEAM = Channel(name="team", kind="webhook", url_env="TEAM_TEST_URL")
CONSOLE = Channel(name="console", kind="console")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(Home(tmp_path / "home"))
    yield found
    found.close()


@pytest.fixture
def make(tmp_path: Path, database: Database, said: list[str]) -> Callable[..., Site]:
    """A site with these channels for every severity; nothing of it but what deliveries need."""

    def made(*channels: Channel, **settings: Any) -> Site:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / "flyball.toml").write_text('[model]\nname = "late"\ntask = "binary"\nadopted = true\ntarget = "y"\n')
        names = tuple(item.name for item in channels)
        routes = dict.fromkeys(("critical", "warning", "info"), names)
        told = AlertSettings(channels=(CONSOLE, *channels), routes=routes, **settings)
        project = replace(load_project(folder), alerts=told)
        return Site(
            home=Home(tmp_path / "home"),
            database=database,
            project=project,
            workers=cast(Any, None),
            tracking_uri="",
            artifact_location="",
            say=said.append,
        )

    return made


def fire(site: Site, name: str = "drift") -> None:
    with site.database.write() as tx:
        open_alert(tx, model="late", name=name, severity="critical", title=f"{name} broke", evidence={}, at=NOW)


def end(site: Site, name: str = "drift") -> None:
    with site.database.write() as tx:
        end_alert(tx, model="late", name=name, at=NOW, why=f"{name} is well")


def beat(site: Site, after_s: float = 0) -> None:
    deliver_pending(site, now=NOW + timedelta(seconds=after_s), aliases=False)


MESSAGE = read_message(
    {"key": "k", "model": "m", "name": "n", "severity": "info", "status": "firing", "title": "t", "at": "a"},
    AlertSettings(channels=(), routes={}),
)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (b"HTTP/1.1 500 No\r\n\r\n", Away, "answered 500"),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 77\r\n\r\n", Away, "answered 429"),
        (b"HTTP/1.1 408 Late\r\n\r\n", Away, "answered 408"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", Rejected, "answered 400"),
        (b"HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Rejected, "answered 302, a redirect"),
        (b"\x00\x01garbage\r\n\r\n", Away, "BadStatusLine"),
        (b"", Away, "RemoteDisconnected"),
    ],
)
def test_what_passes_is_told_from_what_does_not(answer: bytes, kind: type[Exception], told: str) -> None:
    """And the address is in neither."""
    with listening(answer) as there, pytest.raises(kind, match=told) as refused:
        tell(OPS, [MESSAGE], now=NOW, environ={"OPS_TEST_URL": there.url})
    assert "127.0.0.1" not in str(refused.value)
    assert getattr(refused.value, "retry_after_s", None) == (77.0 if b"77" in answer else None)


def test_nobody_there_passes() -> None:
    with pytest.raises(Away, match="ConnectionRefusedError"):
        tell(OPS, [MESSAGE], now=NOW, environ={"OPS_TEST_URL": "http://127.0.0.1:1/"})


def test_an_answer_cut_after_its_status_is_an_answer() -> None:
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok") as there:
        tell(OPS, [MESSAGE], now=NOW, environ={"OPS_TEST_URL": there.url})


def test_alerts_of_one_beat_are_one_message(make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(OK) as there:
        monkeypatch.setenv("OPS_TEST_URL", there.url)
        site = make(OPS)
        fire(site)
        fire(site, "performance")
        beat(site)
    assert [item["text"] for item in there.got] == ["2 alerts; critical: drift broke"]
    assert pending(site.database) == []


def test_a_dead_channel_holds_up_no_other(make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused at once, told on the living one, once; and after `retry` it has everything, in order."""
    bad = b"HTTP/1.1 404 no_service\r\n\r\n"
    with listening(bad, OK) as dead, listening(OK) as there:
        monkeypatch.setenv("OPS_TEST_URL", dead.url)
        monkeypatch.setenv("TEAM_TEST_URL", there.url)
        site = make(OPS, TEAM)
        fire(site)
        for after in (0, 60, 7200):
            beat(site, after)
        assert [item["name"] for item in there.got] == ["drift", "channel-ops"]
        assert len(dead.got) == 1
        (left,) = undelivered(site.database)
        assert (left.channel, left.status, left.error) == (
            "ops",
            "refused",
            "alert channel ops: slack failed (answered 404)",
        )
        end(site)
        beat(site, 7300)
        with site.database.write() as tx:
            assert retry(tx, now=NOW, channel="ops") == 2
        for after in (7400, 7410):
            beat(site, after)
    assert [item["text"].split(":")[0] for item in dead.got[1:]] == ["critical", "resolved"]
    assert undelivered(site.database) == []
    assert {(item.name, item.resolved_at is None) for item in alerts(site.database)} == {
        ("drift", False),
        ("channel-ops", False),
    }


def test_retry_after_is_honoured(make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(b"HTTP/1.1 429 Slow\r\nRetry-After: 500\r\n\r\n", OK) as there:
        monkeypatch.setenv("OPS_TEST_URL", there.url)
        site = make(OPS)
        fire(site)
        for after in (0, 499, 501, 600):
            beat(site, after)
            assert len(there.got) == (1 if after < 500 else 2)


def test_an_alert_that_flaps_is_one(make: Callable[..., Site], said: list[str]) -> None:
    """Its end is told after it stayed quiet."""
    site = make(CONSOLE, resolve_after_s=600)
    for second in range(0, 500, 100):
        fire(site)
        beat(site, second)
        end(site)
        beat(site, second + 50)
    assert said == ["critical: drift broke"]
    beat(site, 1100)
    assert said == ["critical: drift broke", "resolved: drift is well"]
    assert [item.id for item in alerts(site.database)] == [1]


def test_a_silence_is_kept_and_told_after(make: Callable[..., Site], said: list[str]) -> None:
    """What began and ended in it is told to nobody; what goes on is told when it is lifted."""
    site = make(CONSOLE)
    until = NOW + timedelta(hours=2)
    with site.database.write() as tx:
        silence(tx, model="late", name="", until=until, who="ann", why="works", now=NOW)
    fire(site)
    fire(site, "performance")
    beat(site)
    end(site)
    beat(site, 10)
    assert said == []
    with site.database.write() as tx:
        assert len(lift(tx, model="late", name="", who="ann", why="done", now=NOW)) == 1
    beat(site, 20)
    assert said == ["critical: performance broke"]
    assert pending(site.database) == []


def test_what_goes_on_is_repeated_until_somebody_sees_to_it(make: Callable[..., Site], said: list[str]) -> None:
    site = make(CONSOLE, repeat_s=100)
    fire(site)
    for after in (0, 50, 110, 111, 120):
        beat(site, after)
    assert said == ["critical: drift broke"] * 2
    with site.database.write() as tx:
        assert acknowledge(tx, 1, who="ann", at=NOW).acked_by == "ann"
    for after in (300, 310):
        beat(site, after)
    assert said[2:] == ["acknowledged: ann sees to it: drift broke"]


def test_two_loops_at_once_send_once(make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(OK) as there:
        monkeypatch.setenv("OPS_TEST_URL", there.url)
        site = make(OPS)
        fire(site)
        both = [threading.Thread(target=beat, args=(site,)) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    assert len(there.got) == 1
    assert possible_doubles(site.database) == 0


def test_a_sender_that_died_is_followed_and_counted(make: Callable[..., Site], said: list[str]) -> None:
    """Claimed and never settled: sent again once the claim has run out."""
    site = make(CONSOLE)
    fire(site)
    beat(site)
    with site.database.write() as tx:
        tx.run("UPDATE delivery SET status = 'sending', next_at = '2026-01-05T03:02:00.000000Z'")
        tx.run("UPDATE outbox SET done_at = NULL")
    beat(site, 60)
    assert len(said) == 1
    beat(site, 121)
    assert len(said) == 2
    assert possible_doubles(site.database) == 1

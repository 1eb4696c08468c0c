"""Alerts reach a real web server, again and again until it takes them, under the same key."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flyball.errors import NotFound, Unavailable
from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.delivering import test_channel as check_channel
from flyball.loop.site import Site
from flyball.loop.telling import deliver_pending
from flyball.project.records import Channel
from flyball.store.outbox import pending
from tests.integration.loop.conftest import DAY, START, settled

VARIABLE = "LATE_TEST_HOOK"
NOW = START + DAY


@dataclass
class Hook:
    """What the web server got, and what it answers next: statuses, then 200 for ever."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def serving(hook: Hook) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(hook.statuses.pop(0) if hook.statuses else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/secret-path"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    made = Hook()
    with serving(made):
        monkeypatch.setenv(VARIABLE, made.url)
        yield made


def hooked(site: Site) -> Site:
    """Critical alerts go to the web, warnings to both, the rest to nobody."""
    channels = (
        Channel(name="console", kind="console", url_env=None),
        Channel(name="ops", kind="webhook", url_env=VARIABLE),
    )
    routes = {"critical": ("ops",), "warning": ("ops", "console"), "info": ()}
    return settled(site, alerts={"channels": channels, "routes": routes})


def opened(site: Site, *, severity: Any = "critical", title: str = "it broke") -> None:
    with site.database.write() as tx:
        open_alert(tx, model="late", name="drift", severity=severity, title=title, evidence={"day": "x"}, at=NOW)


def ended(site: Site) -> None:
    with site.database.write() as tx:
        end_alert(tx, model="late", name="drift", at=NOW + DAY, why="it is well")


def test_an_alert_is_sent_until_it_is_taken_with_the_same_key(site: Site, hook: Hook) -> None:
    """Refused at the first beat, taken at the second, and not sent at the third."""
    hook.statuses = [503]
    opened(site)
    deliver_pending(hooked(site), now=NOW)
    (waiting,) = pending(site.database)
    assert waiting.attempts == 1
    row = site.database.one("SELECT error FROM outbox WHERE id = :id", id=waiting.id)
    assert row is not None
    assert row["error"] == "alert channel ops: webhook failed (answered 503)"
    for seconds in (1, 10, 20):  # the first is too early: it waits from 5 to 10 s
        deliver_pending(hooked(site), now=NOW + timedelta(seconds=seconds))
        assert len(hook.got) == (1 if seconds == 1 else 2)
    assert pending(site.database) == []
    assert [(item["key"], item["status"], item["title"]) for item in hook.got] == [
        ("late:drift:1", "firing", "it broke")
    ] * 2
    assert hook.got[0] == hook.got[1]


def test_an_alert_that_is_open_is_not_told_again(site: Site, hook: Hook) -> None:
    """The newer evidence is kept; the end is told once, under the same key; the next one is another."""
    opened(site)
    opened(site, title="it is still broken")
    deliver_pending(hooked(site), now=NOW)
    ended(site)
    ended(site)
    for _ in range(3):
        deliver_pending(hooked(site), now=NOW + DAY)
    opened(site, title="broken again")
    deliver_pending(hooked(site), now=NOW + DAY)
    assert [(item["key"], item["status"], item["title"]) for item in hook.got] == [
        ("late:drift:1", "firing", "it broke"),
        ("late:drift:1", "resolved", "it is well"),
        ("late:drift:2", "firing", "broken again"),
    ]


def test_a_severity_goes_where_it_is_routed(site: Site, hook: Hook, said: list[str]) -> None:
    """A warning to web and console, an info to nobody."""
    opened(site, severity="warning", title="look at this")
    ended(site)
    for _ in range(2):
        deliver_pending(hooked(site), now=NOW)
    opened(site, severity="info", title="by the way")
    deliver_pending(hooked(site), now=NOW)
    assert [item["title"] for item in hook.got] == ["look at this", "it is well"]
    assert said == ["warning: look at this", "resolved: it is well"]
    assert pending(site.database) == []


def test_an_end_never_overtakes_its_beginning(site: Site, hook: Hook, said: list[str]) -> None:
    """While a channel is away nothing more is tried on it; the others go on, and hear nothing twice."""
    hook.statuses = [500]
    opened(site, severity="warning", title="look at this")
    ended(site)
    deliver_pending(hooked(site), now=NOW)
    assert [item["title"] for item in hook.got] == ["look at this"]
    for seconds in (10, 11):
        deliver_pending(hooked(site), now=NOW + timedelta(seconds=seconds))
    assert [item["title"] for item in hook.got] == ["look at this", "look at this", "it is well"]
    assert said == ["warning: look at this", "resolved: it is well"]


def test_a_channel_without_its_variable_waits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the variable; nothing is lost."""
    monkeypatch.delenv(VARIABLE, raising=False)
    opened(site)
    deliver_pending(hooked(site), now=NOW)
    row = site.database.one("SELECT attempts, error FROM outbox WHERE done_at IS NULL AND error IS NOT NULL")
    assert row is not None
    assert tuple(row) == (1, f"alert channel ops: webhook failed (environment variable {VARIABLE} is not set)")


def test_the_address_of_a_channel_stays_secret(site: Site, hook: Hook) -> None:
    """A refusal names channel and reason, never the address."""
    hook.statuses = [403]
    with pytest.raises(Unavailable) as refused:
        check_channel(hooked(site).project, "ops", now=NOW)
    assert str(refused.value) == "alert channel ops: webhook failed (answered 403)"
    check_channel(hooked(site).project, "ops", now=NOW)
    assert hook.got[-1]["title"] == "late: this is a test of channel ops"
    with pytest.raises(NotFound, match="there is: console, ops"):
        check_channel(hooked(site).project, "pager", now=NOW)

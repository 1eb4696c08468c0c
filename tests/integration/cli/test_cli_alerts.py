"""Alerts by the command line: silence, acknowledge, send again, test; what doctor says; and what a message suffices for."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from flyball.cli.main import main
from flyball.dashboard.app import build_app
from flyball.loop.alerts import open_alert
from flyball.loop.site import Site as LoopSite
from flyball.loop.telling import deliver_pending
from flyball.project.load import load_project
from flyball.registry import audit, live
from flyball.registry.records import Deployment
from flyball.registry.tokens import first_token
from flyball.registry.versions import version
from flyball.store import utcnow
from tests.integration.cli.conftest import Site
from tests.integration.listener import OK, listening

VARIABLE = "CHURN_TEST_HOOK"
SETTINGS = f"""
[model]
name = "churn"
task = "binary"
adopted = true
target = "y"

[alerts]
link = "http://fly.example.org"
routes = {{ critical = ["ops"], warning = ["ops"] }}

[alerts.channels.ops]
kind = "webhook"
url_env = "{VARIABLE}"
"""

Beat = Callable[[], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "flyball.toml").write_text(SETTINGS)
    return folder


@pytest.fixture
def beat(site: Site, project: Path) -> Beat:
    """The loop's deliveries, now."""
    loop = LoopSite(
        home=site.home,
        database=site.database,
        project=load_project(project),
        workers=cast(Any, None),
        tracking_uri="",
        artifact_location="",
        say=print,
    )
    return lambda: deliver_pending(loop, now=utcnow(), aliases=False)


def fire(site: Site, name: str = "performance", **evidence: Any) -> None:
    with site.database.write() as tx:
        open_alert(
            tx, model="churn", name=name, severity="critical", title=f"{name} broke", evidence=evidence, at=utcnow()
        )


def go_live(site: Site, number: int) -> None:
    found = version(site.database, "churn", number)
    before = live.current(site.database, "churn")
    assert before is not None
    deployment = Deployment(
        model="churn",
        generation=0,
        live=number,
        bundles={number: (found.bundle, found.digest)},
        shadow=(),
        columns={},
        at=utcnow(),
    )
    with site.database.write() as tx:
        live.deploy(tx, deployment, replaces=before.generation, who="flyball", why="it passed its gate")


def measured(site: Site, metric: str, values: list[float], **other: str) -> None:
    """A day each, from 1 January on."""
    row = {"slice": "", "basis": "label", "variant": "live", **other}
    with site.database.write() as tx:
        for day, value in enumerate(values, 1):
            tx.run(
                "INSERT INTO metrics_daily (model, version, variant, date, slice, basis, metric, value, rows) VALUES"
                " ('churn', 2, :variant, :date, :slice, :basis, :metric, :value, 100)",
                date=f"2026-01-{day:02}",
                metric=metric,
                value=value,
                **row,
            )


def test_the_message_alone_suffices_to_go_back(
    site: Site, beat: Beat, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook's JSON: the command in it, typed into a shell, puts the earlier version live; then none is left."""
    go_live(site, 2)
    measured(site, "auc", [0.71, 0.7, 0.58])
    measured(site, "accuracy", [0.9, 0.9, 0.9])
    measured(site, "auc", [0.1, 0.1, 0.1], slice="plan=gold")
    measured(site, "auc", [0.2, 0.2, 0.2], basis="estimate")
    measured(site, "auc", [0.3, 0.3, 0.3], variant="shadow")
    with listening(OK) as there:
        monkeypatch.setenv(VARIABLE, there.url)
        fire(site, metric="auc")
        beat()
        (got,) = there.got
        context = got["context"]
        assert (context["live"], context["before"], context["who"]) == (2, 1, "flyball")
        assert context["recent"] == {"metric": "auc", "values": [0.71, 0.7, 0.58]}
        words = shlex.split(context["rollback"])
        assert words[0] == "flyball"
        done = subprocess.run(
            [str(Path(sys.executable).parent / words[0]), *words[1:]],
            env={**os.environ, "FLYBALL_HOME": str(site.home.path)},
            cwd=project,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert live.current(site.database, "churn").live == 1  # type: ignore[union-attr]
        fire(site, "drift")
        beat()
        assert "rollback" not in there.got[-1]["context"]  # v2 is barred, v1 was the first


def test_the_link_of_a_message_leads_to_a_page(site: Site, beat: Beat, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(OK) as there:
        monkeypatch.setenv(VARIABLE, there.url)
        fire(site)
        beat()
    path = there.got[0]["links"]["dashboard"].removeprefix("http://fly.example.org")
    assert path == "/models/churn"
    status, shown = asyncio.run(page(site, path))
    assert status == 200
    assert "performance broke" in shown


async def page(site: Site, path: str) -> tuple[int, str]:
    """What the dashboard answers to a browser with a token: status and text."""
    token = first_token(site.home, site.database, utcnow())
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "root_path": ""}
    scope |= {"raw_path": path.encode(), "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1)}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await build_app(site.home, site.database)(scope, receive, send)
    return sent[0]["status"], b"".join(item.get("body", b"") for item in sent[1:]).decode()


def test_a_silence_is_made_listed_and_lifted(site: Site) -> None:
    made = json.loads(site("silence", "churn", "--name", "drift", "--for", "2h", "--why", "works", "--json").stdout)
    (found,) = made["silences"]
    assert (found["model"], found["name"], found["who"], found["why"]) == (
        "churn",
        "drift",
        audit.local_user(),
        "works",
    )
    ends = datetime.fromisoformat(found["until"]) - datetime.fromisoformat(found["since"])
    assert ends == timedelta(hours=2)
    assert site("silence").stdout.startswith("silent: churn, drift: until ")
    assert site("silence", "all", "--until", "2100-01-01").stdout.count("silent: ") == 2
    lifted = site("silence", "churn", "--name", "drift", "--lift")
    assert lifted.stdout.startswith("lifted: churn, drift")
    assert site("silence", "all", "--lift").exit_code == 0
    assert site("silence").stdout == "nothing is silent\n"
    acts = [row["act"] for row in site.database.all("SELECT act FROM audit ORDER BY id")]
    assert acts[1:] == ["silence", "silence", "unsilence", "unsilence"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("churn",), "say how long"),
        (("churn", "--for", "2h", "--until", "2100-01-01"), "one of them"),
        (("churn", "--for", "soon"), "--for soon"),
        (("churn", "--until", "2020-01-01"), "which is past"),
        (("chrn", "--for", "2h"), "no model 'chrn' here (there is: churn)"),
        (("--for", "2h"), "name the model, or all"),
        (("churn", "--lift"), "no silence of churn, every alert, is in force"),
        (("churn", "--lift", "--for", "2h"), "leave out --for"),
    ],
)
def test_a_silence_that_is_not_understood_silences_nothing(site: Site, words: tuple[str, ...], told: str) -> None:
    done = site("silence", *words)
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr
    assert site("silence").stdout == "nothing is silent\n"


def test_an_alert_is_acknowledged_once_by_whoever_was_first(site: Site) -> None:
    fire(site)
    told = json.loads(site("alert", "ack", "1", "--json").stdout)
    assert (told["model"], told["name"], told["acked_by"]) == ("churn", "performance", audit.local_user())
    assert json.loads(site("alert", "ack", "1", "--json").stdout)["acked_at"] == told["acked_at"]
    assert site("alert", "ack", "1").stdout == f"alert 1 (churn, performance) is {audit.local_user()}'s\n"
    assert [row["act"] for row in site.database.all("SELECT act FROM audit ORDER BY id")].count("ack") == 1
    missing = site("alert", "ack", "7")
    assert (missing.exit_code, "no alert 7; `flyball alerts --all`" in missing.stderr) == (2, True)
    with site.database.write() as tx:
        tx.run("UPDATE alert SET resolved_at = '2026-01-05T03:00:00.000000Z', acked_at = NULL")
    ended = site("alert", "ack", "1")
    assert (ended.exit_code, "nothing to acknowledge" in ended.stderr) == (2, True)


def test_what_was_refused_is_shown_mended_and_sent(site: Site, beat: Beat, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `alerts`, in `doctor` with its mend; and after `alert retry` it is there."""
    with listening(b"HTTP/1.1 404 Gone\r\n\r\n", OK) as there:
        monkeypatch.setenv(VARIABLE, there.url)
        fire(site)
        beat()
        assert "ops  " in site("alerts").stdout.partition("not delivered:")[2]
        (left,) = json.loads(site("alerts", "--json").stdout)["undelivered"]
        assert (left["channel"], left["status"], left["attempts"]) == ("ops", "refused", 1)
        looked = site("doctor", "--json")
        (found,) = [item for item in json.loads(looked.stdout)["findings"] if item["what"] == "alerts to ops"]
        assert (found["state"], found["told"]) == (
            "note",
            "not taken: 1 (alert channel ops: webhook failed (answered 404))",
        )
        assert "`flyball alert retry ops`" in found["mend"]
        assert there.url not in looked.stdout
        wrong = site("alert", "retry", "opps")
        assert (wrong.exit_code, "there were for: ops" in wrong.stderr) == (2, True), wrong.stderr
        assert json.loads(site("alert", "retry", "ops", "--json").stdout) == {"messages": 1}
        beat()
    assert [item["name"] for item in there.got] == ["performance", "performance"]
    assert json.loads(site("alerts", "--json").stdout)["undelivered"] == []
    assert "alerts to ops" not in site("doctor", "--json").stdout


def test_a_channel_is_tried_by_hand(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0 when it took the message, 1 when not, 2 for a channel that is none; the address is never shown."""

    def tried(name: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["alert", "test", name, "--project", str(project), "--home", str(tmp_path)])
        return done.exit_code, done.output

    monkeypatch.delenv(VARIABLE, raising=False)
    code, told = tried("ops")
    assert (code, f"environment variable {VARIABLE} is not set" in told) == (1, True)
    with listening(OK, b"HTTP/1.1 403 No\r\n\r\n") as there:
        monkeypatch.setenv(VARIABLE, there.url)
        assert tried("ops") == (0, "a test message went out on ops\n")
        assert there.got[0]["title"] == "churn: this is a test of channel ops"
        code, told = tried("ops")
        assert (code, "answered 403" in told, there.url in told) == (1, True, False)
    code, told = tried("opps")
    assert (code, "no alert channel 'opps' in flyball.toml (there is: console, ops)" in told) == (2, True)

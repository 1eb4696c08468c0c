"""Alerts in a real Alertmanager: one while an episode lasts, however often it is told, and over when we say so."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

import orjson
import pytest

from flyball.loop.alerts import end_alert, open_alert
from flyball.loop.telling import deliver_pending
from flyball.store import utcnow
from tests.integration.listener import OK, Listener, listening
from tests.integration.loop.test_loop_delivering_killed import SETTINGS as WEBHOOK
from tests.integration.loop.test_loop_delivering_killed import opened

pytestmark = pytest.mark.slow

#: as Debian's package calls it, and as its makers do.
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

SETTINGS = WEBHOOK.replace('"webhook"', '"alertmanager"').replace("KILLED_TEST_URL", "ALERTMANAGER_TEST_URL")
CONFIG = """
route: {receiver: hook, group_by: [alertname, model], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "HOOK", send_resolved: true}]}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def alertmanager(folder: Path, hook: str) -> Iterator[str]:
    """A running one that tells `hook`; its address."""
    if ALERTMANAGER is None:
        pytest.skip("alertmanager is not installed (Debian: prometheus-alertmanager)")
    (folder / "config.yml").write_text(CONFIG.replace("HOOK", hook))
    port = free_port()
    started = subprocess.Popen(
        [
            ALERTMANAGER,
            f"--config.file={folder}/config.yml",
            f"--storage.path={folder}/data",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not ready(url):
            assert time.monotonic() < deadline, "alertmanager does not answer"
            time.sleep(0.05)
        yield url
    finally:
        started.terminate()
        started.wait()


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return cast(int, answer.status) == 200
    except OSError:
        return False


def firing(url: str) -> list[dict[str, str]]:
    """Labels of the alerts that are on."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts?active=true", timeout=5) as answer:
        return [item["labels"] for item in orjson.loads(answer.read())]


def told(hook: Listener, count: int) -> list[tuple[str, str]]:
    """(status, alertname) of each message behind Alertmanager, once there are so many."""
    hook.wait_for(count)
    return [(item["status"], item["alerts"][0]["labels"]["alertname"]) for item in hook.got]


def test_an_episode_is_one_alert_that_ends_when_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told twice, on once; resolved reaches whoever listens behind it."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "flyball.toml").write_text(SETTINGS)
    site, now = opened(tmp_path), utcnow()
    with listening(OK) as hook, alertmanager(tmp_path, hook.url) as url:
        monkeypatch.setenv("ALERTMANAGER_TEST_URL", url)
        for later in range(2):
            with site.database.write() as tx:
                at = now + timedelta(seconds=later)
                open_alert(tx, model="late", name="drift", severity="critical", title="it moved", evidence={}, at=at)
            deliver_pending(site, now=utcnow(), aliases=False)
        assert told(hook, 1) == [("firing", "flyball_drift")]
        (labels,) = firing(url)
        assert (labels["model"], labels["severity"]) == ("late", "critical")
        assert hook.got[0]["alerts"][0]["annotations"]["summary"] == "it moved"
        with site.database.write() as tx:
            end_alert(tx, model="late", name="drift", at=utcnow(), why="steady again")
        deliver_pending(site, now=utcnow(), aliases=False)
        assert told(hook, 2) == [("firing", "flyball_drift"), ("resolved", "flyball_drift")]
        assert firing(url) == []
    site.database.close()

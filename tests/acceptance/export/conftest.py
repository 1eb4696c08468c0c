"""A fleet that is asked, watched by a real Prometheus, whose alerts go through a real Alertmanager to a listener."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_breast_cancer

from tests.acceptance.cli.shell import FLYBALL, environment, flyball, free_port, post, until, up

PROMETHEUS = shutil.which("prometheus")
#: as Debian's package calls it, and as its makers do.
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

#: a window is judged while the test waits; a second version stays in the shadow.
SETTINGS = (
    ('change = ["auc > champion.auc"]', 'change = ["auc >= champion.auc - 0.5"]'),
    ('strategy = "direct"', 'strategy = "shadow, full"\nmin_outcomes = 1000000'),
    ("[monitor]", '[monitor]\nwindow = "20s"\nlabel_delay = "0s"'),
)
ALERTS = """
route: {receiver: hook, group_by: [alertname, model], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "http://127.0.0.1:PORT/", send_resolved: true}]}]
"""
FEATURES = ("radius", "texture", "smoothness", "compactness", "concavity", "symmetry", "fractal dimension")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What runs, and what was told."""

    project: Path
    serving: str
    prometheus: str
    #: (alertname, status, labels), as they came out of Alertmanager.
    told: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def ask(self, expr: str) -> list[Any]:
        """The samples of a query, now. An error of Prometheus raises."""
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return list(found["data"]["result"])

    def firing(self, name: str) -> dict[str, str] | None:
        """The labels of an alert that was told, and is not resolved."""
        last = next((item for item in reversed(self.told) if item[0] == name), None)
        return None if last is None or last[1] == "resolved" else last[2]


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One live version and one in the shadow, under traffic that is not what they were trained on."""
    if PROMETHEUS is None or ALERTMANAGER is None:
        pytest.skip("prometheus or its alertmanager is not installed (Debian: prometheus, prometheus-alertmanager)")
    folder = tmp_path_factory.mktemp("fleet")
    project = two_versions(folder)
    with ExitStack() as running:
        patterns = (r"serving +(\S+)", r"dashboard +(http://[^/\s]+)")
        found = running.enter_context(up(project, pattern=patterns))
        ports = {name: free_port() for name in ("prometheus", "alertmanager")}
        configure(project, found[0][1], found[1][1], ports["alertmanager"])
        fleet = Fleet(project=project, serving=found[0][1], prometheus=f"http://127.0.0.1:{ports['prometheus']}")
        hook = running.enter_context(listening(fleet))
        (folder / "alerts.yml").write_text(ALERTS.replace("PORT", str(hook)))
        where = f"--web.listen-address=127.0.0.1:{ports['alertmanager']}"
        running.enter_context(
            process(
                ALERTMANAGER,
                f"--config.file={folder}/alerts.yml",
                f"--storage.path={folder}/alertmanager",
                "--cluster.listen-address=",
                where,
            )
        )
        where = f"--web.listen-address=127.0.0.1:{ports['prometheus']}"
        running.enter_context(
            process(
                PROMETHEUS,
                f"--config.file={project}/prometheus/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                where,
            )
        )
        running.enter_context(traffic(fleet))
        until(lambda: bool(answers(fleet, 'up{job="flyball-control"} == 1')))
        yield fleet


def two_versions(folder: Path) -> Path:
    """The project that `init` writes, trained twice; the second version waits in the shadow."""
    subprocess.run([FLYBALL, "init", "churn"], cwd=folder, check=True, capture_output=True)
    settings = folder / "churn" / "flyball.toml"
    text = settings.read_text()
    for old, new in SETTINGS:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    settings.write_text(text + "\n[pipeline.params]\nC = 1.0\n")
    assert flyball(folder / "churn", "run")["rollout"] == "full"
    assert flyball(folder / "churn", "run", "--param", "C=0.5")["rollout"] == "shadow"
    return folder / "churn"


def configure(project: Path, serving: str, control: str, alertmanager: int) -> None:
    """As the papers tell: the export, then the token into the file it names."""
    told = flyball(
        project,
        *("export", "prometheus", "--serving", serving, "--control", control),
        *("--alertmanager", f"127.0.0.1:{alertmanager}", "--interval", "1"),
    )
    follow = told["next"].replace("flyball ", f"{FLYBALL} ", 1)
    subprocess.run(["sh", "-c", follow], cwd=project, env=environment(), check=True, capture_output=True)


def answers(fleet: Fleet, expr: str) -> list[Any]:
    """As `ask`; nothing while Prometheus starts."""
    try:
        return fleet.ask(expr)
    except OSError:
        return []


@contextmanager
def process(*argv: str) -> Iterator[None]:
    """A server of somebody else's, until the block ends."""
    started = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        yield
    finally:
        started.terminate()
        started.wait()


@contextmanager
def listening(fleet: Fleet) -> Iterator[int]:
    """What Alertmanager posts, onto `fleet.told`; the port."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in body["alerts"]:
                fleet.told.append((alert["labels"]["alertname"], alert["status"], alert["labels"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def traffic(fleet: Fleet) -> Iterator[None]:
    """Ten requests a second for the larger tumours only, each with what it turned out to be; until the block ends."""
    cells = load_breast_cancer(as_frame=True).frame
    large = cells[cells["mean radius"] > 13.0]
    rows = large[[f"mean {name}" for name in FEATURES]].set_axis([name.replace(" ", "_") for name in FEATURES], axis=1)
    rows = rows.to_dict(orient="records")
    labels = (1 - large["target"]).tolist()
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.wait(0.1):
            some = [(number * 10 + place) % len(rows) for place in range(10)]
            number += 1
            try:
                asked = {"inputs": [rows[place] for place in some]}
                got = post(f"{fleet.serving}/models/churn/predict", json.dumps(asked).encode())
                true = [{"id": one, "value": labels[place]} for one, place in zip(got["ids"], some, strict=True)]
                post(f"{fleet.serving}/models/churn/outcomes", json.dumps({"outcomes": true}).encode())
            except OSError:  # a test has stopped the worker for a while
                time.sleep(0.2)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

"""Real workers in processes of their own, on loopback."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from flyball.engine.bundle import write_bundle
from flyball.engine.compile import classes_of, compile_model
from flyball.engine.contract import Contract
from flyball.engine.infer import infer_contract, label_kind_of
from flyball.registry.live import current, deploy
from flyball.registry.records import Deployment
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind
from flyball.serving.supervisor import fresh_metrics, supervise, worker_children
from flyball.serving.worker import metrics_folder
from flyball.store import Home, moment, open_database

ROW = {"hour": 18.0, "distance": 760.5}
DEADLINE_S = 30.0


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """Wait until `holds()` is true; what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if value := holds():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")


@pytest.fixture(name="eventually", scope="session")
def _eventually() -> Callable[[Callable[[], Any], str], Any]:
    return eventually


@pytest.fixture(scope="session")
def bundle_files() -> dict[str, bytes]:
    """One small model's bundle."""
    graph, contract = _compiled(threshold=12)
    return {"model.onnx": graph, "contract.json": orjson.dumps(contract.to_json())}


@pytest.fixture(scope="session")
def other_graph() -> bytes:
    """Another graph for the same contract, with other answers."""
    return _compiled(threshold=20)[0]


def _compiled(threshold: float) -> tuple[bytes, Contract]:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"hour": rng.integers(0, 24, 300).astype(float), "distance": rng.normal(800.0, 200.0, 300)})
    fitted = LogisticRegression().fit(frame, (frame.hour + rng.normal(0, 4, 300) > threshold).astype(int))
    contract = infer_contract(
        frame,
        model="delay",
        task="binary",
        features=["hour", "distance"],
        classes=classes_of(fitted),
        positive="1",
        label_kind=label_kind_of(fitted),
    )
    return compile_model(fitted, contract), contract


@dataclass(slots=True)
class Installed:
    """A home with one bundle, deployed under any version number."""

    home: Home
    digest: str
    #: may name another database than the home's file.
    environ: Mapping[str, str] = field(default_factory=dict)

    def deploy(self, live: int, shadow: tuple[int, ...] = ()) -> Deployment:
        """Every number names the same bundle, by another digest-checked path."""
        database = open_database(self.home, self.environ)
        record = Deployment(
            model="delay",
            generation=0,
            live=live,
            bundles=dict.fromkeys((live, *shadow), ("runs/bundle", self.digest)),
            shadow=shadow,
            columns={},
            at=moment("2013-06-01T00:00:00Z"),
        )
        with database.write() as tx:
            before = current(tx, "delay")
            done = deploy(tx, record, replaces=before.generation if before else None, who="test", why="test")
        database.close()
        return done

    def journal(self, kind: str = "predictions") -> list[dict[str, Any]]:
        return [
            orjson.loads(line)
            for path in sorted(self.home.journal.glob(f"{kind}-*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]


def _install(folder: Path, files: Mapping[str, bytes]) -> Installed:
    home = Home(folder).made()
    result = Installed(home, write_bundle(home.runs / "bundle", files))
    result.deploy(1)
    return result


@pytest.fixture
def installed(tmp_path: Path, bundle_files: Mapping[str, bytes]) -> Installed:
    """A home where version 1 is live."""
    return _install(tmp_path / "home", bundle_files)


@pytest.fixture(scope="module")
def installed_once(tmp_path_factory: pytest.TempPathFactory, bundle_files: Mapping[str, bytes]) -> Installed:
    """The same for all tests of a module that leave it as it is."""
    return _install(tmp_path_factory.mktemp("once") / "home", bundle_files)


@dataclass(slots=True)
class Server:
    """A supervisor in a thread of the test and its workers in processes."""

    installed: Installed
    port: int
    stop: threading.Event
    thread: threading.Thread
    log: list[str] = field(default_factory=list)

    def pids(self) -> list[int]:
        """Workers that were started, oldest first."""
        return [int(line.rpartition(" ")[2]) for line in list(self.log) if "started, pid" in line]

    def alive(self) -> list[int]:
        return [pid for pid in self.pids() if is_alive(pid)]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def request(
        self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = self.connection()
        try:
            body = value if isinstance(value, bytes | None) else orjson.dumps(value)
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()

    def predict(self, rows: int = 1) -> dict[str, Any]:
        status, _, body = self.request("POST", "/models/delay/predict", {"inputs": [ROW] * rows})
        assert status == 200, body
        answer: dict[str, Any] = orjson.loads(body)
        return answer

    def ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def metric(self, name: str) -> float:
        """The sum of all samples whose name and labels begin with `name`."""
        lines = self.request("GET", "/metrics")[2].decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def end(self) -> None:
        self.stop.set()
        self.thread.join()


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet asked for its status does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # where there is no /proc, init has asked by now
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not status.parent.parent.exists()


@pytest.fixture(name="is_alive", scope="session")
def _is_alive() -> Callable[[int], bool]:
    return is_alive


@pytest.fixture
def serve(installed: Installed) -> Iterator[Callable[..., Server]]:
    """Starts servers over `installed`, waits until they are ready, and ends them with the test."""
    yield from _serving(installed)


@pytest.fixture(scope="module")
def serve_once(installed_once: Installed) -> Iterator[Callable[..., Server]]:
    """The same for servers that all tests of a module may ask: over `installed_once`, ended with the module."""
    yield from _serving(installed_once)


def _serving(installed: Installed) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def started(workers: int = 1, **options: Any) -> Server:
        listening = bind("127.0.0.1", 0)
        fresh_metrics(metrics_folder(installed.home))
        children = worker_children(installed.home, listening, workers, Options(**options))
        stop, log = threading.Event(), list[str]()

        def run() -> None:
            with listening:
                supervise(children, stop=stop, log=log.append)

        thread = threading.Thread(target=run)
        server = Server(installed, address(listening)[1], stop, thread, log)
        servers.append(server)
        thread.start()
        eventually(server.ready, "a worker is ready")
        return server

    yield started
    for server in servers:
        server.end()

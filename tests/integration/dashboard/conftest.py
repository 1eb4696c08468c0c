"""A home with models that lived for some days: versions, live history, windows, metrics, decisions, lake."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.journal.layout import METADATA, PREDICTIONS, partition
from flyball.registry.codec import plain
from flyball.registry.decisions import decide
from flyball.registry.live import current, deploy
from flyball.registry.records import Deployment, Fallback, Lineage, RuleResult, Verdict, Version
from flyball.registry.versions import register
from flyball.stats.estimate import Estimate
from flyball.store import Database, Home, Transaction, open_database, stamp

START = datetime(2013, 3, 1, 5, tzinfo=UTC)
FEATURES = ("temp", "dewp", "humid", "wind_speed", "visib", "carrier", "origin", "dest", "hour", "distance")


def fill(home: Home, database: Database, model: str, *, days: int, seed: int = 0, rows: int = 900) -> None:
    """`days` days of one model: a new version every 30 days, drift when it grows old, the newest week's labels missing."""
    rng = np.random.default_rng(seed)
    with database.write() as tx:
        for number in range(1, days // 30 + 2):
            _version(tx, model, number, START + timedelta(days=30 * (number - 1)))
        for day in range(days):
            age, start = day % 30, START + timedelta(days=day)
            _drift(tx, model, start, day // 30 + 1, drifted=age > 24, rows=rows)
            if day < days - 7:
                value = 0.72 - 0.002 * age + rng.normal(0, 0.008)
                _performance(tx, model, start, day // 30 + 1, value, rows=rows)
        _refusal(tx, model, START + timedelta(days=days - 1))
    for day in range(max(0, days - 8), days):
        _answers(home, model, START + timedelta(days=day), rows, rng)


def _version(tx: Transaction, model: str, number: int, at: datetime) -> None:
    lineage = Lineage(
        run=f"run-{model}-{number}",
        reason="first" if number == 1 else "drift",
        data_digest="d3f9a1c2" * 8,
        data_rows=49_211 + number,
        data_start=START - timedelta(days=59),
        data_end=at,
        recipe_digest="ab" * 32,
        git_commit="2ec7c32f" * 5,
        git_dirty=False,
        params={"trees": 200},
        seed=7,
        environment={"lightgbm": "4.5.0", "numpy": "2.1.0"},
        hardware="x86_64, 2 cores",
        parent=number - 1 or None,
        gated_twin=None,
        mlflow_run=None,
        degraded=(Fallback(step="weather", run=f"run-{model}-1", decided_at=START),) if number == 2 else (),
    )
    version = Version(
        model=model,
        number=number,
        label=f"{model}-{at:%Y%m%d}-d3f9a1c2-lgbm",
        created_at=at,
        bundle=f"runs/run-{model}-{number}/bundle",
        digest="9b" * 32,
        metrics={
            "auc": Estimate(value=0.71, low=0.70, high=0.72, rows=6402),
            "log_loss": Estimate(value=0.52, low=0.51, high=0.53, rows=6402),
        },
        parity={"rows": 500, "different": 0},
        lineage=lineage,
        stage="none",
    )
    register(tx, version)
    _gate(tx, version)
    before = current(tx, model)
    deploy(
        tx,
        Deployment(
            model=model,
            generation=0,
            live=number,
            bundles={number: (version.bundle, version.digest)},
            shadow=(),
            columns={},
            at=at,
        ),
        replaces=before.generation if before else None,
        who="flyball",
        why="first version" if number == 1 else "no worse than the champion on 1,812 paired answers",
    )


def verdict_of(model: str, run: str, at: datetime, *, passed: bool) -> Verdict:
    why = (
        "AUC 0.694 vs champion 0.661 on the same 6,402 rows, +0.033 [+0.021, +0.045], better beyond chance"
        if passed
        else "AUC 0.668 vs champion 0.671 on the same 6,402 rows, -0.003 [-0.011, +0.005], not better beyond chance"
    )
    difference = (0.033, 0.021, 0.045) if passed else (-0.003, -0.011, 0.005)
    compared = RuleResult(
        rule="auc > champion.auc",
        candidate=0.694 if passed else 0.668,
        champion=0.661 if passed else 0.671,
        difference=Estimate(value=difference[0], low=difference[1], high=difference[2], rows=6402),
        passed=passed,
        why=why,
    )
    floor = RuleResult(
        rule="p99_ms <= 20", candidate=1.9, champion=None, difference=None, passed=True, why="P99_MS 1.9 keeps it"
    )
    return Verdict(
        model=model,
        run=run,
        occasion="change",
        champion=1,
        rows=6402,
        days=7,
        data_start=at - timedelta(days=7),
        data_end=at,
        results=(compared, floor),
        passed=passed,
        at=at,
    )


def _gate(tx: Transaction, version: Version) -> None:
    verdict = verdict_of(version.model, version.lineage.run, version.created_at, passed=True)
    decide(
        tx,
        model=version.model,
        at=version.created_at,
        kind="gate",
        subject=f"v{version.number}",
        verdict="passed",
        reason=f"passed: {verdict.results[0].why}",
        evidence=plain(verdict),
        dedup=f"gate:{version.lineage.run}",
    )


def _refusal(tx: Transaction, model: str, at: datetime) -> None:
    verdict = verdict_of(model, f"run-{model}-refused", at, passed=False)
    decide(
        tx,
        model=model,
        at=at + timedelta(hours=12),
        kind="gate",
        subject=f"run-{model}-refused",
        verdict="refused",
        reason=f"refused: {verdict.results[0].why}",
        evidence=plain(verdict),
        dedup=f"gate:run-{model}-refused",
    )


def _drift(tx: Transaction, model: str, start: datetime, version: int, *, drifted: bool, rows: int) -> None:
    alarming = ("temp", "dewp") if drifted else ()
    features = [
        {
            "feature": name,
            "verdict": "drift" if name in alarming else "steady",
            "statistics": {
                "psi": {
                    "value": 0.31 if name in alarming else 0.02,
                    "threshold": 0.11,
                    "null_mean": 0.03,
                    "alarm": name in alarming,
                },
                "location": {
                    "value": 4.1 if name in alarming else 0.4,
                    "threshold": 3.2,
                    "null_mean": 0.0,
                    "alarm": name in alarming,
                },
            },
            "null": "blocks",
            "why": f"{name}: location 4.10 over 3.20" if name in alarming else "",
        }
        for name in sorted(FEATURES, key=lambda name: name not in alarming)
    ]
    word = "drift" if drifted else "steady"
    evidence = {"verdict": word, "features": features}
    _window(tx, model, "drift", start, version, word, rows, evidence)
    if drifted:
        decide(
            tx,
            model=model,
            at=start + timedelta(days=1),
            kind="drift",
            subject=f"{start:%Y-%m-%d}",
            verdict="drift",
            reason="temp, dewp left what training saw; 8 features steady",
            evidence=evidence,
            dedup=f"drift:{model}:{start:%Y-%m-%d}",
        )


def _performance(tx: Transaction, model: str, start: datetime, version: int, value: float, *, rows: int) -> None:
    _window(tx, model, "performance", start, version, "kept" if value >= 0.66 else "below", rows, {})
    for metric, number in (("auc", value), ("log_loss", 0.52), ("brier", 0.17)):
        tx.run(
            "INSERT INTO metrics_daily (model, version, variant, date, metric, value, low, high, rows)"
            " VALUES (:model, :version, 'live', :date, :metric, :value, :low, :high, :rows)",
            model=model,
            version=version,
            date=f"{start:%Y-%m-%d}",
            metric=metric,
            value=number,
            low=number - 0.03,
            high=number + 0.03,
            rows=rows,
        )


def _window(
    tx: Transaction, model: str, kind: str, start: datetime, version: int, verdict: str, rows: int, evidence: object
) -> None:
    tx.run(
        'INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence)'
        " VALUES (:model, :kind, :start, :ends, :version, :verdict, :rows, :start, :evidence)",
        model=model,
        kind=kind,
        start=stamp(start),
        ends=stamp(start + timedelta(days=1)),
        version=version,
        verdict=verdict,
        rows=rows,
        evidence=orjson.dumps(evidence).decode(),
    )


def _answers(home: Home, model: str, start: datetime, rows: int, rng: np.random.Generator) -> None:
    """One lake file: `rows` live rows with latencies of 1 to 3 ms, and as many shadow rows."""
    total = 2 * rows
    values = {
        "id": [f"{start:%Y%m%d}{row}" for row in range(total)],
        "role": ["live"] * rows + ["shadow"] * rows,
        "latency_ms": rng.uniform(1, 3, total),
        "timestamp": [start] * total,
        "model": [model] * total,
    }
    schema = pa.schema([PREDICTIONS.field(name) for name in values], metadata=METADATA)
    folder = partition(home, "predictions", model, f"{start:%Y-%m-%d}")
    folder.mkdir(parents=True)
    pq.write_table(pa.table(values, schema=schema), folder / "b1.parquet")


def raise_alert(database: Database, model: str, *, title: str, severity: str = "critical") -> None:
    with database.write() as tx:
        tx.run(
            "INSERT INTO alert (model, name, severity, since, title, evidence)"
            " VALUES (:model, 'performance', :severity, :since, :title, '{}')",
            model=model,
            severity=severity,
            since=stamp(START + timedelta(days=9)),
            title=title,
        )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> object:
        return orjson.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A dashboard process and how to ask it."""

    port: int
    home: Home
    process: subprocess.Popen[bytes]

    def ask(self, path: str, *, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        """One request; header names with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def wait(self) -> None:
        """Until it is ready."""
        until(lambda: self.process.poll() is not None or self._ready())
        assert self.process.poll() is None, "the server ended before it was ready"

    def _ready(self) -> bool:
        try:
            return self.ask("/readyz").status == 200
        except OSError:
            return False


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@contextmanager
def serving(home: Home, *options: str) -> Iterator[tuple[Server, int]]:
    """A real server on a free port, on a socket opened here; and the writing end of its parent's pipe."""
    listener = socket.create_server(("127.0.0.1", 0))
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "flyball.dashboard.server", "--home", str(home.path)]
    command += ["--fd", str(listener.fileno()), "--parent-fd", str(reading), *options]
    process = subprocess.Popen(
        command, pass_fds=(listener.fileno(), reading), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    os.close(reading)
    port = listener.getsockname()[1]
    listener.close()
    try:
        server = Server(port, home, process)
        server.wait()
        yield server, writing
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        try:
            os.close(writing)
        except OSError:
            pass  # the test closed it


@pytest.fixture(scope="session")
def bench() -> ModuleType:
    """This module, for the tests that fill a home or start a server of their own."""
    return sys.modules[__name__]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    opened = open_database(home)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose model `churn` lived for 40 days. Read only."""
    home = Home(tmp_path_factory.mktemp("lived"))
    opened = open_database(home)
    fill(home, opened, "churn", days=40)
    raise_alert(opened, "churn", title="AUC 0.61 on 4,102 mature labels (promised 0.70)")
    opened.close()
    return home

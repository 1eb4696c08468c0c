"""Native models behind a real worker: their processes die, hang and fail, and nobody else notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier

from flyball.engine.bundle import write_bundle
from flyball.engine.compile import classes_of
from flyball.engine.infer import infer_contract
from flyball.engine.native_files import native_files
from flyball.engine.session import load_engine
from flyball.registry.live import current, deploy
from flyball.registry.records import Deployment
from flyball.store import Home, moment, open_database

pytestmark = pytest.mark.slow

FRAME = pd.DataFrame({"x": [0.25, 0.5, 0.75, 1.0]})


class Odd(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn ships no types
    """Answers x as the probability; a negative x is a wish: to fail, or to hang."""

    def fit(self, frame: pd.DataFrame, y: Any) -> Odd:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        x = frame["x"].to_numpy()
        if (x == -1).any():
            raise ValueError(x)
        if (x == -2).any():
            time.sleep(600)
        return np.column_stack([1 - x, x])


def install(
    home: Home,
    model: str,
    fitted: Any,
    frame: pd.DataFrame = FRAME,
    shadow: tuple[int, ...] = (),
    folder: str | None = None,
) -> str:
    """Deploy version 1 of `model`, native; its shadows are the same bundle."""
    folder = folder or model
    contract = infer_contract(
        frame, model=model, task="binary", features=list(frame), classes=classes_of(fitted), positive="1"
    )
    files = native_files(fitted, contract, frame, why="for a test", project=Path(__file__).parent)
    digest = write_bundle(home.runs / folder, {**files, "contract.json": orjson.dumps(contract.to_json())})
    _deploy(home, model, dict.fromkeys((1, *shadow), (f"runs/{folder}", digest)), shadow)
    return digest


def _deploy(home: Home, model: str, bundles: Any, shadow: tuple[int, ...]) -> None:
    database = open_database(home)
    record = Deployment(
        model=model,
        generation=0,
        live=1,
        bundles=bundles,
        shadow=shadow,
        columns={},
        at=moment("2013-06-01T00:00:00Z"),
    )
    with database.write() as tx:
        before = current(tx, model)
        deploy(tx, record, replaces=before.generation if before else None, who="test", why="test")
    database.close()


def children(pid: int) -> list[int]:
    """Living native processes of a worker."""
    found = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,stat,args"], capture_output=True, text=True, check=True)
    rows = [line.split(None, 3) for line in found.stdout.splitlines()[1:]]
    return [
        int(row[0])
        for row in rows
        if int(row[1]) == pid and "engine.native_process" in row[3] and not row[2].startswith("Z")
    ]


def ask(server: Any, *numbers: float, path: str = "/models/odd/predict") -> tuple[int, Any, Any]:
    status, headers, body = server.request("POST", path, {"inputs": [{"x": x} for x in numbers]})
    return status, headers, orjson.loads(body)


@pytest.fixture
def odd(installed: Any, serve: Callable[..., Any]) -> Any:
    """A worker with a compiled model, `delay`, and a native one, `odd`, which it gives a second for an answer."""
    install(installed.home, "odd", Odd().fit(FRAME, [0, 1, 0, 1]))
    return serve(timeout_s=1.0)


def test_a_native_model_answers_and_is_journaled(odd: Any) -> None:
    """As any other."""
    status, headers, answer = ask(odd, 0.25, 0.75)
    assert (status, headers["x-flyball-model"]) == (200, "odd@1")
    assert answer["predictions"] == [0.25, 0.75]
    (line,) = odd.installed.journal()
    assert line["score"] == [0.25, 0.75]
    assert odd.metric("flyball_requests_total{") == 1


def test_a_native_model_speaks_other_protocols(odd: Any) -> None:
    """They share the way to it."""
    status, _, body = odd.request("POST", "/v1/models/odd:predict", {"instances": [{"x": 0.5}]})
    assert (status, orjson.loads(body)["predictions"]) == (200, [0.5])


def test_a_row_that_makes_the_model_fail_harms_no_neighbour(odd: Any) -> None:
    """Requests that shared a failed call are asked one by one."""
    wishes = [index / 64 for index in range(1, 65)]
    wishes[20] = wishes[40] = -1.0
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(lambda x: ask(odd, x), wishes))
    for x, (status, _, answer) in zip(wishes, got, strict=True):
        assert (status, answer.get("predictions")) == ((500, None) if x < 0 else (200, [x]))


def test_a_killed_model_answers_503_and_comes_back(odd: Any, eventually: Callable[..., Any]) -> None:
    """Meanwhile the other models of the worker answer."""
    (worker,) = odd.alive()
    (first,) = children(worker)
    os.kill(first, signal.SIGKILL)
    status, headers, answer = ask(odd, 0.5)
    assert (status, headers["retry-after"], answer["type"]) == (503, "1", "/docs#model-away")
    odd.predict()
    eventually(lambda: ask(odd, 0.5)[0] == 200, "it is back")
    (second,) = children(worker)
    assert second != first
    assert odd.alive() == [worker]


def test_readiness_tells_of_a_model_whose_process_is_away(odd: Any, eventually: Callable[..., Any]) -> None:
    """The server stays ready; the model is not, in the words of each protocol, until it is back."""
    (worker,) = odd.alive()

    def ready() -> Any:
        status, _, body = odd.request("GET", "/readyz")
        assert status == 200
        return orjson.loads(body)

    def of_model() -> list[int]:
        return [odd.request("GET", path)[0] for path in ("/v2/models/odd/ready", "/v1/models/odd", "/ping?model=odd")]

    assert (ready()["degraded"], of_model()) == ([], [200] * 3)
    killed = set()

    def away() -> bool:
        """Killed again whenever it has come back before it was seen away."""
        for pid in children(worker):
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return bool(ready()["degraded"])

    eventually(away, "its process is away")
    eventually(lambda: away() and of_model() == [503, 503, 200], "the model is not ready")
    eventually(lambda: away() and ready()["models"]["odd"].get("state") == "being started again", "its state is told")
    assert odd.request("GET", "/v2/models/delay/ready")[0] == 200
    eventually(lambda: not ready()["degraded"], "it is back")
    assert (ready()["models"]["odd"], of_model()) == ({"version": 1, "generation": 2}, [200] * 3)


def test_a_native_model_may_be_loaded_when_it_is_first_asked_for(installed: Any, serve: Callable[..., Any]) -> None:
    """No process before; the request waits for it, and other models answer meanwhile."""
    install(installed.home, "odd", Odd().fit(FRAME, [0, 1, 0, 1]))
    server = serve(lazy=("odd",))
    (worker,) = server.alive()
    assert children(worker) == []
    with ThreadPoolExecutor(4) as pool:
        first = [pool.submit(ask, server, 0.25) for _ in range(4)]
        server.predict()
        assert [(item.result()[0], item.result()[2]["predictions"]) for item in first] == [(200, [0.25])] * 4
    assert len(children(worker)) == 1


def test_a_model_that_hangs_is_given_up_and_comes_back(odd: Any, eventually: Callable[..., Any]) -> None:
    """504 for who asked; its process is killed."""
    (worker,) = odd.alive()
    (first,) = children(worker)
    status, _, answer = ask(odd, -2.0)
    assert (status, answer["type"]) == (504, "/docs#too-slow")
    odd.predict()
    eventually(lambda: ask(odd, 0.5)[0] == 200, "it is back")
    assert first not in children(worker)


def test_the_model_ends_with_its_worker(
    odd: Any, eventually: Callable[..., Any], is_alive: Callable[..., bool]
) -> None:
    """Killed like that; the worker that takes its place has a process of its own."""
    (worker,) = odd.alive()
    (first,) = children(worker)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not is_alive(first), "the model's process has ended")
    eventually(lambda: len(odd.alive()) == 1 and odd.ready(), "another worker is there")
    assert ask(odd, 0.5)[2]["predictions"] == [0.5]
    assert len(children(odd.alive()[0])) == 1


def test_a_native_shadow_scores_what_was_answered(
    installed: Any, serve: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    """Requests it could not keep up with one by one share its calls."""
    install(installed.home, "odd", Odd().fit(FRAME, [0, 1, 0, 1]), shadow=(2,))
    server = serve()
    for index in range(20):
        ask(server, index / 20)
    shadows = eventually(
        lambda: len(found := [line for line in installed.journal() if line["role"] == "shadow"]) == 20 and found,
        "every request has been scored",
    )
    assert sorted(line["score"][0] for line in shadows) == pytest.approx([index / 20 for index in range(20)])
    assert server.metric('flyball_shadow_total{result="written"') == 20


async def _asked(port: int, connections: int, seconds: float, body: bytes) -> int:
    """How many requests were answered, all of them with 200."""
    head = f"POST /models/forest/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    until = time.monotonic() + seconds

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.monotonic() < until:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            count += 1
        writer.close()
        return count

    return sum(await asyncio.gather(*(client() for _ in range(connections))))


def test_requests_that_come_together_share_a_call(installed: Any, serve: Callable[..., Any]) -> None:
    """A forest of 200 trees, 64 connections: at least four times what one call a request could give at best."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(rng.normal(size=(2_000, 10)).astype(np.float32), columns=list("abcdefghij"))
    forest = RandomForestClassifier(200, random_state=0, n_jobs=1).fit(frame, frame["a"] > frame["b"])
    forest.classes_ = np.array(["0", "1"])
    digest = install(installed.home, "forest", forest, frame)
    engine = load_engine(installed.home.runs / "forest", digest)
    one = {name: frame[name].to_numpy()[:1] for name in frame}
    calls = []
    for _ in range(30):
        began = time.perf_counter()
        engine.predict(one)
        calls.append(time.perf_counter() - began)
    del engine
    server = serve()
    body = orjson.dumps({"inputs": [{name: float(column[0]) for name, column in one.items()}]})
    asyncio.run(_asked(server.port, 64, 0.5, body))
    answered = asyncio.run(_asked(server.port, 64, 2.0, body))
    assert answered / 2.0 >= 4 / float(np.median(calls))


def test_the_process_of_a_version_ends_when_another_takes_its_place(
    odd: Any, eventually: Callable[..., Any], is_alive: Callable[..., bool]
) -> None:
    """Every promotion would leave one behind otherwise. Nothing fails meanwhile."""
    home = odd.installed.home
    (worker,) = odd.alive()
    (first,) = children(worker)
    again = Odd().fit(FRAME, [1, 0, 1, 0])
    again.other_ = True
    statuses = [ask(odd, 0.5)[0]]
    install(home, "odd", again, folder="odd-2")
    eventually(lambda: statuses.append(ask(odd, 0.5)[0]) or not is_alive(first), "the first process has ended")
    (second,) = children(worker)
    assert second != first
    assert set(statuses) == {200}


def test_a_worker_that_is_told_to_stop_takes_its_model_along(
    odd: Any, is_alive: Callable[..., bool], capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a word."""
    (worker,) = odd.alive()
    (first,) = children(worker)
    assert ask(odd, 0.5)[0] == 200
    odd.end()
    assert not is_alive(first)
    assert capfd.readouterr().err == ""

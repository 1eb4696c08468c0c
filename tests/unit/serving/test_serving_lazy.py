"""Models that are loaded when they are first asked for: once, beside the others, and ahead from then on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from flyball.engine.bundle import read_contract, write_bundle
from flyball.errors import Corrupt
from flyball.registry.records import Deployment
from flyball.serving.held import Lack, Lazy, Loaded
from flyball.serving.problem import Problem
from flyball.serving.waking import Waking
from flyball.store import moment

ROW = {"hour": 18.0, "distance": 760.5}
PATH = "/models/delay/predict"


@pytest.fixture
def lazy(installed: Any, start: Any) -> Any:
    """An application that serves `delay` version 1 lazily, and `price` as usual."""
    installed.deploy("delay", 1)
    installed.deploy("price", 1)
    return start(lazy=("delay",))


def ask(client: Any, path: str = PATH) -> Any:
    return client.post(path, {"inputs": [ROW]})


def state(client: Any) -> Any:
    return client.get("/readyz").json()["models"]["delay"].get("state")


def test_nothing_is_loaded_before_it_is_asked_for(lazy: Any) -> None:
    """Ready all the same, and every page knows the model; only a prediction loads it."""
    asked = ("/v2/models/delay", "/v2/models/delay/ready", "/v1/models/delay/metadata", "/models", "/openapi.json")
    assert [lazy.get(path).status for path in asked] == [200] * 5
    assert lazy.post("/models/delay/outcomes", {"outcomes": [{"key": "a", "value": 1}]}).status == 202
    ready = lazy.get("/readyz")
    assert (ready.status, ready.json()["degraded"]) == (200, [])
    assert ready.json()["models"]["delay"] == {"version": 1, "generation": 1, "state": "not loaded yet"}
    assert lazy.metric('flyball_model_info{generation="1",model="delay",variant="live",version="1"}') == 0.0
    assert ask(lazy).status == 200
    assert state(lazy) is None
    assert lazy.metric('flyball_model_info{generation="1",model="delay",variant="live",version="1"}') == 1.0


@pytest.mark.parametrize("path", [PATH, "/v1/models/delay/versions/1:predict", "/invocations?model=delay"])
def test_the_first_request_is_answered_in_any_protocol(lazy: Any, path: str) -> None:
    """By the version it waited for; its line is in the journal."""
    reply = ask(lazy, path) if path == PATH else lazy.post(path, {"instances": [ROW]})
    assert (reply.status, reply.headers["x-flyball-model"]) == (200, "delay@1")
    assert [line["model"] for line in lazy.journal()] == ["delay"]


def test_what_has_been_asked_for_is_loaded_ahead_from_then_on(installed: Any, lazy: Any) -> None:
    """A promotion is in memory before it is switched to; its shadow too."""
    ask(lazy)
    installed.deploy("delay", 2, shadow=(1,))
    lazy.watch.look()
    assert set(lazy.watch.roster.models["delay"].loaded.engines) == {1, 2}
    lazy.look()
    assert ask(lazy).json()["version"] == 2


def test_what_has_not_been_asked_for_stays_unloaded_through_promotions(installed: Any, lazy: Any) -> None:
    """Until it is asked; then the newest answers."""
    installed.deploy("delay", 2)
    lazy.look()
    assert state(lazy) == "not loaded yet"
    assert ask(lazy).json()["version"] == 2


def test_a_switch_to_other_tokens_forgets_nothing(installed: Any, lazy: Any) -> None:
    """What is in memory stays there while its deployment does; another model's promotion is none of its business."""
    ask(lazy)
    engine = lazy.app.deployed.held["delay"].loaded.engines[1]
    installed.deploy("price", 1)
    lazy.look()
    assert lazy.app.deployed.held["delay"].loaded.engines[1] is engine


def test_a_model_first_asked_for_while_its_promotion_is_looked_at_stays_hot(installed: Any, lazy: Any) -> None:
    """The version before goes on answering until the new one is in memory: nobody waits."""
    installed.deploy("delay", 2)
    lazy.watch.look()
    assert ask(lazy).json()["version"] == 1

    async def switched() -> list[int]:
        lazy.app.deployed.switch(lazy.watch.roster)
        versions = [lazy.app.deployed.held["delay"].deployment.live]
        while lazy.app.deployed.held["delay"].deployment.live == 1:
            await asyncio.sleep(0.001)
        return [*versions, lazy.app.deployed.held["delay"].deployment.live]

    assert lazy.runner.run(asyncio.wait_for(switched(), 30)) == [1, 2]
    assert ask(lazy).json()["version"] == 2


def test_a_bundle_that_is_not_whole_is_found_before_it_is_asked_for(installed: Any, start: Any) -> None:
    """The digest is looked at when the deployment is, as always."""
    (installed.own("delay-1") / "model.onnx").write_bytes(b"torn")
    installed.deploy("delay", 1)
    client = start(lazy=("delay",))
    assert "v1 cannot be loaded, the model cannot answer" in client.get("/readyz").json()["degraded"][0]
    assert ask(client).status == 503


def test_a_bundle_that_does_not_load_answers_503_and_says_why(installed: Any, start: Any, files: Any) -> None:
    """Whole, but no graph: told to whoever asks, in the log and by /readyz; the others answer."""
    installed.digests["delay/1"] = write_bundle(
        installed.home.runs / "broken", {**files["delay/1"], "model.onnx": b"no graph"}
    )
    installed.own("delay-1").rename(installed.home.runs / "away")
    (installed.home.runs / "broken").rename(installed.home.runs / "delay-1")
    installed.deploy("delay", 1)
    installed.deploy("price", 1)
    client = start(lazy=("delay", "price"))
    assert client.get("/readyz").json()["degraded"] == []
    reply = ask(client)
    assert (reply.status, reply.json()["type"], reply.headers["retry-after"]) == (503, "/docs#not-loaded", "5")
    assert "delay: v1 cannot be loaded" in reply.json()["detail"]
    assert "does not answer its example row" in reply.json()["detail"]
    ready = client.get("/readyz")
    assert (ready.status, ready.json()["degraded"]) == (200, [reply.json()["detail"]])
    assert [event["what"] for event in client.log if event["event"] == "degraded"] == [reply.json()["detail"]]
    assert ask(client, "/models/price/predict").status == 200


def test_who_has_no_token_loads_nothing(installed: Any, start: Any) -> None:
    """Refused first."""
    installed.deploy("delay", 1)
    client = start(lazy=("delay",), public=True)
    assert [ask(client).status, client.post("/invocations", {"instances": [ROW]}).status] == [401, 401]
    assert state(client) == "not loaded yet"


def held(installed: Any, load: Callable[[list[Lack]], Loaded], model: str = "delay") -> Lazy:
    """A deployment with a way of loading it."""
    folder = installed.home.runs / "delay-1"
    deployment = Deployment(
        model=model,
        generation=1,
        live=1,
        bundles={1: ("runs/delay-1", installed.digests["delay/1"])},
        shadow=(),
        columns={},
        at=moment("2013-06-01T00:00:00Z"),
    )
    return Lazy(deployment, read_contract(folder), load)


def run(work: Callable[[Waking], Coroutine[Any, Any, Any]]) -> list[str]:
    """The models whose loading ended, in order."""
    ended: list[str] = []

    async def main() -> None:
        await work(Waking(ended=lambda lazy: ended.append(lazy.deployment.model), tell=str))

    asyncio.run(asyncio.wait_for(main(), 30))
    return ended


def test_who_asks_first_together_waits_for_one_loading(installed: Any) -> None:
    """Once, however many ask; and never again."""
    calls: list[int] = []

    def load(_: list[Lack]) -> Loaded:
        calls.append(1)
        return Loaded(deployment=lazy.deployment, engines={})

    lazy = held(installed, load)

    async def work(waking: Waking) -> None:
        await asyncio.gather(*(waking.wake(lazy, 30) for _ in range(20)))
        assert lazy.loaded is not None
        assert lazy.wake() is lazy.loaded

    assert run(work) == ["delay"]
    assert len(calls) == 1


def test_another_model_is_not_held_up_and_who_gives_up_leaves_the_loading_be(installed: Any) -> None:
    """503 with Retry-After for who has waited for too long; the next finds it further on."""
    go = threading.Event()

    def load(_: list[Lack]) -> Loaded:
        go.wait(30)
        return Loaded(deployment=slow.deployment, engines={})

    slow = held(installed, load, "slow")
    quick = held(installed, lambda _: Loaded(deployment=quick.deployment, engines={}), "quick")

    async def work(waking: Waking) -> None:
        with pytest.raises(Problem, match="slow is still being loaded") as caught:
            await waking.wake(slow, 0.01)
        assert (caught.value.status, caught.value.headers) == (503, ((b"retry-after", b"5"),))
        waits = asyncio.create_task(waking.wake(slow, 30))
        await waking.wake(quick, 30)
        assert not waits.done()
        go.set()
        await waits

    assert run(work) == ["quick", "slow"]


def test_what_failed_is_not_tried_again_at_once(installed: Any) -> None:
    """Every request would, otherwise; the reason is told meanwhile."""
    calls: list[int] = []

    def load(_: list[Lack]) -> Loaded:
        calls.append(1)
        raise Corrupt("torn")

    lazy = held(installed, load)

    async def work(waking: Waking) -> None:
        for _ in range(3):
            with pytest.raises(Problem, match="the model cannot answer: torn"):
                await waking.wake(lazy, 30)

    run(work)
    assert (len(calls), lazy.rests) == (1, True)

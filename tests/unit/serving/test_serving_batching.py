"""Requests for a native model gather and share calls; the model here is a function that can be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flyball.engine.contract import Contract, Feature, Prediction, Table
from flyball.engine.native import ModelAway, ModelFailed, ModelTooSlow
from flyball.serving.batching import MAX_ROWS, MAX_WAITING_ROWS, Gathering, apart, how_many, merged
from flyball.serving.problem import Problem

FEATURES = (Feature(name="x", kind="number", nullable=False), Feature(name="t", kind="category", nullable=True))
CONTRACT = Contract(model="m", task="regression", features=FEATURES, classes=(), positive=None, example={})


def table(*numbers: float) -> Table:
    texts = np.array([[str(x)] for x in numbers], dtype=object).reshape(len(numbers), 1)
    return Table(CONTRACT.layout, np.array(numbers, dtype=np.float32).reshape(-1, 1), texts)


class Doubling:
    """Answers twice x, once `go` is set; -1 fails, -2 finds its process dead, -3 takes too long."""

    def __init__(self) -> None:
        self.contract = CONTRACT
        self.process = SimpleNamespace(timeout_s=None)
        self.calls: list[list[float]] = []
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def predict(self, asked: Table) -> Prediction:
        x = asked.numbers[:, 0].astype(np.float64)
        self.calls.append(x.tolist())
        self.begun.set()
        assert self.go.wait(30)
        for wish, error in ((-1, ModelFailed), (-2, ModelAway), (-3, ModelTooSlow)):
            if wish in x:
                raise error("as wished")
        return Prediction(prediction=2 * x, score=2 * x, probabilities=None)


def run(
    act: Callable[[Doubling, Gathering], Coroutine[Any, Any, Any]], timeout_s: float = 30.0
) -> tuple[Doubling, Any]:
    model = Doubling()
    gathering = Gathering(model, timeout_s)  # type: ignore[arg-type]
    return model, asyncio.run(act(model, gathering))


async def held(model: Doubling, gathering: Gathering) -> asyncio.Task[Prediction]:
    """A call that is under way until `go` is set."""
    model.go.clear()
    task = asyncio.create_task(gathering.predict(table(0.0)))
    await asyncio.to_thread(model.begun.wait)
    return task


@pytest.mark.parametrize(
    ("rows", "most", "count"),
    [
        ([], 10, 0),
        ([3], 10, 1),
        ([30], 10, 1),
        ([30, 1], 10, 1),
        ([1, 30], 10, 1),
        ([4, 6], 10, 2),
        ([4, 6, 1], 10, 2),
        ([4, 7, 1], 10, 1),
        ([1] * 20, 10, 10),
        ([0, 0, 10, 0], 10, 4),
    ],
)
def test_as_many_requests_share_a_call_as_fit(rows: list[int], most: int, count: int) -> None:
    """In the order they came, and at least one."""
    assert how_many(rows, most) == count


def test_tables_and_answers_come_apart_as_they_were_put_together() -> None:
    """Each request gets its own rows."""
    together = merged([table(1.0, 2.0), table(), table(3.0)])
    assert together.numbers.tolist() == [[1.0], [2.0], [3.0]]
    assert together.categories.tolist() == [["1.0"], ["2.0"], ["3.0"]]
    answer = np.arange(3.0)
    whole = Prediction(prediction=answer, score=answer + 10, probabilities=np.eye(3))
    parts = list(apart(whole, [2, 0, 1]))
    assert [part.prediction.tolist() for part in parts] == [[0.0, 1.0], [], [2.0]]
    assert [part.score.tolist() for part in parts] == [[10.0, 11.0], [], [12.0]]
    assert [len(part.probabilities) for part in parts if part.probabilities is not None] == [2, 0, 1]


def test_a_request_that_finds_the_model_idle_goes_at_once() -> None:
    """Nothing waits for company."""

    async def act(model: Doubling, gathering: Gathering) -> Any:
        return [(await gathering.predict(table(x))).score.tolist() for x in (1.0, 2.0)]

    model, got = run(act)
    assert got == [[2.0], [4.0]]
    assert model.calls == [[1.0], [2.0]]
    assert model.process.timeout_s == 30.0


def test_what_comes_while_a_call_is_under_way_goes_together_in_the_next() -> None:
    """Each gets its own rows."""

    async def act(model: Doubling, gathering: Gathering) -> Any:
        first = await held(model, gathering)
        others = [asyncio.create_task(gathering.predict(table(x, x + 0.5))) for x in (1.0, 2.0, 3.0)]
        await asyncio.sleep(0)
        model.go.set()
        return [(await task).score.tolist() for task in (first, *others)]

    model, got = run(act)
    assert model.calls == [[0.0], [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]]
    assert got == [[0.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]


def test_a_large_request_goes_alone() -> None:
    """Others need not wait for it longer than they must."""

    async def act(model: Doubling, gathering: Gathering) -> Any:
        first = await held(model, gathering)
        large = asyncio.create_task(gathering.predict(table(*range(MAX_ROWS + 1))))
        small = asyncio.create_task(gathering.predict(table(7.0)))
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(first, large, small)

    model, _ = run(act)
    assert [len(call) for call in model.calls] == [1, MAX_ROWS + 1, 1]


def test_requests_that_shared_a_failed_call_are_asked_one_by_one() -> None:
    """Only the one to blame fails."""

    async def act(model: Doubling, gathering: Gathering) -> Any:
        first = await held(model, gathering)
        others = [asyncio.create_task(gathering.predict(table(x))) for x in (1.0, -1.0, 3.0)]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    model, got = run(act)
    assert model.calls == [[0.0], [1.0, -1.0, 3.0], [1.0], [-1.0], [3.0]]
    assert [item.score.tolist() for item in got if isinstance(item, Prediction)] == [[0.0], [2.0], [6.0]]
    assert isinstance(got[2], ModelFailed)


@pytest.mark.parametrize(("wish", "kind", "status"), [(-2.0, "model-away", 503), (-3.0, "too-slow", 504)])
def test_who_asked_a_model_that_died_or_hung_is_told(wish: float, kind: str, status: int) -> None:
    """503 comes with a time to come back."""

    async def act(_: Doubling, gathering: Gathering) -> Any:
        with pytest.raises(Problem) as problem:
            await gathering.predict(table(wish))
        return problem.value, await gathering.predict(table(1.0))

    _, (problem, after) = run(act)
    assert (problem.kind, problem.status) == (kind, status)
    assert problem.headers == (((b"retry-after", b"1"),) if status == 503 else ())
    assert after.score.tolist() == [2.0]


def test_waiting_counts_towards_the_time_of_a_request() -> None:
    """504, and who has given up is not asked for."""

    async def act(model: Doubling, gathering: Gathering) -> Any:
        first = await held(model, gathering)
        with pytest.raises(Problem) as problem:
            await gathering.predict(table(5.0))
        model.go.set()
        await asyncio.gather(first, return_exceptions=True)
        return problem.value.kind, (await gathering.predict(table(6.0))).score.tolist()

    model, got = run(act, timeout_s=0.3)
    assert got == ("too-slow", [12.0])
    assert model.calls == [[0.0], [6.0]]


def test_no_more_rows_wait_than_are_allowed() -> None:
    """503; a single request of any size may wait."""

    async def act(model: Doubling, gathering: Gathering) -> Any:
        first = await held(model, gathering)
        large = asyncio.create_task(gathering.predict(table(*np.zeros(MAX_WAITING_ROWS + 5))))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as problem:
            await gathering.predict(table(1.0))
        model.go.set()
        await asyncio.gather(first, large)
        return problem.value.kind, (await gathering.predict(table(1.0))).score.tolist()

    _, got = run(act)
    assert got == ("overloaded", [2.0])

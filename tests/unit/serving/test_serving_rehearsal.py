"""A version asked by request bytes over a worker's whole way, before it is live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from flyball.engine.contract import Contract
from flyball.engine.session import Engine, open_engine
from flyball.errors import Unavailable
from flyball.serving.options import Options
from flyball.serving.rehearsal import rehearsed

ROW = {"hour": 8.0, "distance": 1000.0}


@pytest.fixture
def engine(files: Mapping[str, Mapping[str, bytes]]) -> Callable[[str], Engine]:
    """The engine of one of the four small models, by its name."""

    def opened(name: str) -> Engine:
        found = files[name]
        return open_engine(Contract.from_json(orjson.loads(found["contract.json"])), found["model.onnx"])

    return opened


def asked(engine: Engine, value: Any, **settings: Any) -> tuple[int, Any]:
    with rehearsed(engine, **settings) as rehearsal:
        reply = rehearsal.ask(orjson.dumps(value))
    return reply.status, orjson.loads(reply.body)


@pytest.mark.parametrize(
    ("name", "answer"), [("delay/1", pytest.approx(0.1493, abs=1e-4)), ("kind/1", "1"), ("price/1", 500.0)]
)
def test_a_row_is_answered_as_a_worker_would(engine: Callable[[str], Engine], name: str, answer: Any) -> None:
    """Binary: 1 / (1 + e^(7.2 - 0.47 * 8 - 0.0017 * 1000)); of the three classes the one at 7.5, others at 5.7 and -13.2;
    regression: half the distance.
    """
    status, said = asked(engine(name), {"inputs": [ROW]})
    assert (status, said["version"], len(said["ids"])) == (200, 1, 1)
    assert said["predictions"] == [answer]


def test_many_rows_and_one_are_answered_alike(engine: Callable[[str], Engine]) -> None:
    """A small body takes the short way, one over 512 KiB that by ASGI and the thread for large batches."""
    model = engine("price/1")
    rows = [[float(number % 24), float(number)] for number in range(40_000)]
    status, said = asked(model, {"inputs": {"columns": ["hour", "distance"], "data": rows}})
    assert status == 200
    assert said["predictions"] == [number / 2 for number in range(40_000)]


def test_a_refusal_names_row_and_column(engine: Callable[[str], Engine]) -> None:
    """As a client would be told; the connection then takes the next request."""
    with rehearsed(engine("delay/1")) as rehearsal:
        wrong = rehearsal.ask(orjson.dumps({"inputs": [ROW, {**ROW, "hour": "eight"}]}))
        right = rehearsal.ask(orjson.dumps({"inputs": [ROW]}))
        broken = rehearsal.ask(b"{")
    assert (wrong.status, right.status, broken.status) == (422, 200, 400)
    assert orjson.loads(wrong.body)["errors"][0]["loc"] == ["inputs", 1, "hour"]


@pytest.mark.parametrize(
    "settings", [{}, {"durable": ("delay",)}, {"sample": {"delay": 0.5}}, {"auth": (("delay", "token"),)}]
)
def test_seconds_are_those_of_every_request(
    engine: Callable[[str], Engine], tmp_path: Path, settings: dict[str, Any]
) -> None:
    """As the project has it journaled, a token never asked for; what it wrote is gone with it."""
    options, body = Options(**settings), orjson.dumps({"inputs": [ROW]})
    with rehearsed(engine("delay/1"), options=options, columns={"hour": "hash"}, beside=tmp_path) as rehearsal:
        spent = rehearsal.seconds_of(body, 20)
        (folder,) = tmp_path.iterdir()
        lines = [line for path in (folder / "journal").iterdir() for line in path.read_bytes().splitlines()]
    assert (len(spent), min(spent) > 0, max(spent) < 5) == (20, True, True)
    assert len(lines) == 20 if "sample" not in settings else 0 < len(lines) < 20
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_is_not_answered_has_no_latency(engine: Callable[[str], Engine]) -> None:
    """The reason is told, with the status."""
    with rehearsed(engine("delay/1")) as rehearsal, pytest.raises(Unavailable, match=r"answered 422: .*hour"):
        rehearsal.seconds_of(orjson.dumps({"inputs": [{"distance": 1.0}]}), 3)

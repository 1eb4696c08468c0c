"""Hot swap on two workers under load: every version in a bundle of its own, loaded anew and told from the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from flyball.engine.bundle import write_bundle
from flyball.engine.check import columns_from_records
from flyball.engine.session import load_engine
from flyball.registry import chain
from flyball.registry.live import current, deploy
from flyball.registry.records import Deployment, Lineage, Version
from flyball.registry.versions import register, version
from flyball.rollout import move
from flyball.store import moment, open_database, utcnow
from tests.integration.serving.load import ROW, answered, asked

WORKERS, CLIENTS = 2, 6


class Versions:
    """Versions of one model: odd ones answer as the first does, even ones as the other graph does."""

    def __init__(self, installed: Any, files: Mapping[str, bytes], other: bytes) -> None:
        self._home = installed.home
        self._files = files
        self._graphs = {1: files["model.onnx"], 0: other}
        #: version -> what it answers.
        self.answers: dict[int, float] = {}

    def write(self, number: int, **changed: bytes) -> tuple[str, str]:
        """Folder and digest of a version's bundle; `changed`: files other than they should be, with _ for the dot."""
        files = {**self._files, "model.onnx": self._graphs[number % 2], "number.txt": str(number).encode()}
        files |= {name.replace("_", "."): content for name, content in changed.items()}
        place = f"runs/v{number}"
        return place, write_bundle(self._home.path / place, files)

    def good(self, number: int) -> tuple[str, str]:
        place, digest = self.write(number)
        engine = load_engine(self._home.path / place, digest)
        self.answers[number] = float(engine.predict(columns_from_records(engine.contract, [ROW])).score[0])
        return place, digest

    def live(self, number: int, bundle: tuple[str, str]) -> int:
        """Deploy it; the generation that this is."""
        record = Deployment(
            model="delay",
            generation=0,
            live=number,
            bundles={number: bundle},
            shadow=(),
            columns={},
            at=moment("2013-06-01T00:00:00Z"),
        )
        database = open_database(self._home)
        with database.write() as tx:
            before = current(tx, "delay")
            done = deploy(tx, record, replaces=before.generation if before else None, who="test", why="test")
        database.close()
        return done.generation


@pytest.fixture
def versions(installed: Any, bundle_files: Mapping[str, bytes], other_graph: bytes) -> Versions:
    """Of the model that `installed` has."""
    return Versions(installed, bundle_files, other_graph)


def shown(answer: Mapping[str, Any]) -> tuple[int, float]:
    """Version and score."""
    return answer["version"], answer["predictions"][0]


def everywhere(server: Any, version: int, generation: int) -> bool:
    """Whether every worker has this version live under this generation: none has anything else."""
    lines = server.request("GET", "/metrics")[2].decode().splitlines()
    found = [line for line in lines if line.startswith("flyball_model_info{")]
    return found == [
        f'flyball_model_info{{generation="{generation}",model="delay",variant="live",version="{version}"}} 1.0'
    ]


@pytest.mark.slow
def test_ten_promotions_and_ten_rollbacks_under_load_fail_no_request(
    serve: Any, versions: Versions, eventually: Callable[..., Any]
) -> None:
    """Every answer is that of the version it names; all workers follow each change, how soon is printed."""
    bundles = {number: versions.good(number) for number in range(1, 12)}
    first = versions.live(1, bundles[1])
    server = serve(workers=WORKERS)
    deployed = {first: 1}
    took_s = []
    with asked(server.port, CLIENTS, keeps=50) as loads:
        for number in [*range(2, 12), *range(10, 0, -1)]:
            began = time.monotonic()
            generation = versions.live(number, bundles[number])
            deployed[generation] = number
            eventually(lambda n=number, g=generation: everywhere(server, n, g), f"v{number} everywhere")
            took_s.append(time.monotonic() - began)
            before = answered(loads)
            eventually(lambda before=before: answered(loads) > before + 100, "load goes on")
    sys.stdout.write(
        f"workers followed after {max(took_s):.2f} s at most, {sum(took_s) / len(took_s):.2f} s on average\n"
    )
    assert [(load.refused, load.broken) for load in loads] == [([], [])] * CLIENTS
    given = {(answer["generation"], *shown(answer)) for load in loads for answer in load.answers}
    assert all(deployed[generation] == version for generation, version, _ in given)
    assert {(version, score) for _, version, score in given} == set(versions.answers.items())
    assert {generation for generation, _, _ in given} == set(deployed)


@pytest.mark.slow
def test_promote_and_rollback_take_effect_in_under_five_seconds_and_fail_no_request(
    serve: Any, installed: Any, versions: Versions, eventually: Callable[..., Any]
) -> None:
    """By the functions that the verbs call, with proof, audit and stages, counted from the call; on every worker."""
    database = open_database(installed.home)
    for number in (1, 2, 3):
        with database.write() as tx:
            register(tx, registered(number, versions.good(number)))
    versions.live(1, ("runs/v1", version(database, "delay", 1).digest))
    server = serve(workers=WORKERS)
    steps: list[tuple[int, Callable[[], Deployment]]] = [
        (2, lambda: move.promote(database, installed.home, "delay", 2, who="ada", why="better", now=utcnow())),
        (3, lambda: move.promote(database, installed.home, "delay", 3, who="ada", why="better", now=utcnow())),
        (2, lambda: move.rollback(database, installed.home, "delay", who="ada", why="it broke", now=utcnow())),
        (1, lambda: move.rollback(database, installed.home, "delay", who="ada", why="it broke too", now=utcnow())),
    ]
    took_s = []
    with asked(server.port, CLIENTS, keeps=50) as loads:
        for number, act in steps:
            began = time.monotonic()
            done = act()
            eventually(lambda n=number, g=done.generation: everywhere(server, n, g), f"v{number} everywhere")
            took_s.append(time.monotonic() - began)
            before = answered(loads)
            eventually(lambda before=before: answered(loads) > before + 100, "load goes on")
    sys.stdout.write(f"moves took effect everywhere after {', '.join(f'{item:.2f}' for item in took_s)} s\n")
    assert max(took_s) < 5
    assert [(load.refused, load.broken) for load in loads] == [([], [])] * CLIENTS
    given = {shown(answer) for load in loads for answer in load.answers}
    assert given == set(versions.answers.items())
    assert chain.verify(database).faults == ()
    database.close()


def registered(number: int, bundle: tuple[str, str]) -> Version:
    """A version as a run leaves it, of that bundle."""
    at = moment("2013-06-01T00:00:00Z")
    lineage = Lineage(
        run=f"run{number}",
        reason="manual",
        data_digest="d" * 64,
        data_rows=300,
        data_start=None,
        data_end=at,
        recipe_digest="r",
        git_commit=None,
        git_dirty=False,
        params={},
        seed=7,
        environment={},
        hardware="here",
        parent=None,
        gated_twin=None,
        mlflow_run=None,
    )
    return Version(
        model="delay",
        number=number,
        label=f"delay-{number}",
        created_at=at,
        bundle=bundle[0],
        digest=bundle[1],
        metrics={},
        parity={},
        lineage=lineage,
        stage="none",
    )


@pytest.mark.slow
def test_a_version_that_cannot_be_loaded_never_answers(
    serve: Any, installed: Any, versions: Versions, eventually: Callable[..., Any]
) -> None:
    """Changed since it was registered, no graph, of another shape, not proven equal: the last good one goes on."""
    generation = versions.live(1, versions.good(1))
    changed = versions.write(2)
    (installed.home.path / changed[0] / "model.onnx").write_bytes(b"changed")
    contract = orjson.loads((installed.home.path / "runs/v1/contract.json").read_bytes())
    three = orjson.dumps({**contract, "task": "multiclass", "classes": ["0", "1", "2"], "positive": None})
    unproven = orjson.dumps({"rows": 200, "tolerance": 1e-5, "over_tolerance": 9, "passed": False})
    bad = {
        2: (changed, "model.onnx"),
        3: (versions.write(3, model_onnx=b"no graph"), "does not answer its example row"),
        4: (versions.write(4, contract_json=three), "the contract says"),
        5: (versions.write(5, parity_json=unproven), "9 of 200 rows"),
    }
    server = serve(workers=WORKERS)
    with asked(server.port, CLIENTS, keeps=50) as loads:
        for number, (bundle, why) in bad.items():
            versions.live(number, bundle)
            said = f"v{number} cannot be loaded, v1 goes on answering"
            found = eventually(lambda said=said: [line for line in degraded(server) if said in line], said)
            assert why in found[0]
            assert everywhere(server, 1, generation)
        mended = versions.live(6, versions.good(6))
        eventually(lambda: everywhere(server, 6, mended), "the mend is served")
        before = answered(loads)
        eventually(lambda: answered(loads) > before + 100, "load goes on")
    assert degraded(server) == []
    assert [(load.refused, load.broken) for load in loads] == [([], [])] * CLIENTS
    given = {shown(answer) for load in loads for answer in load.answers}
    assert given == set(versions.answers.items())


def degraded(server: Any) -> list[str]:
    found: list[str] = orjson.loads(server.request("GET", "/readyz")[2])["degraded"]
    return found

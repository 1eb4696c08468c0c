"""Eight processes that register, promote, read and roll back one model at once, on the file and on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from flyball.engine.bundle import write_bundle
from flyball.engine.infer import infer_contract
from flyball.engine.session import NUMBERS, OUTPUT
from flyball.registry import chain, live
from flyball.registry.versions import versions
from flyball.store import Home, open_database

PROCESSES = 8
TURNS = 10

_ONE = """
import json, os, sys, time
from datetime import datetime, timezone
from pathlib import Path
from flyball.errors import Conflict, Mistake
from flyball.registry import audit, chain, live
from flyball.registry.records import Lineage, Version
from flyball.registry.versions import register, versions
from flyball.rollout import move
from flyball.store import Home, open_database, utcnow

home, digest, me, turns = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3], int(sys.argv[4])

def made(number, run):
    at = utcnow()
    lineage = Lineage(run=run, reason="manual", data_digest="d" * 64, data_rows=1, data_start=at, data_end=at,
        recipe_digest="r", git_commit=None, git_dirty=False, params={}, seed=1, environment={}, hardware="x",
        parent=None, gated_twin=None, mlflow_run=None)
    return Version(model="m", number=number, label=run, created_at=at, bundle="runs/bundle", digest=digest,
        metrics={}, parity={}, lineage=lineage, stage="none")

database = open_database(home, os.environ)
(home.path / f"ready-{me}").touch()
while not (home.path / "go").exists():
    time.sleep(0.01)
told, newest = [], 0
for turn in range(turns):
    with database.write() as tx:  # reads, then writes what follows from it: another's write in between would be lost
        last = tx.one("SELECT max(number) AS number FROM version WHERE model = 'm'")
        number = register(tx, made((last["number"] or 0) + 1, f"{me}-{turn}")).number
    told.append(["register", number])
    done = move.promote(database, home, "m", number, who=me, why="a turn", now=utcnow())
    told.append(["deploy", done.generation])
    for _ in range(3):
        seen = live.newest_generation(database)
        assert seen >= max(newest, done.generation), (seen, newest)
        newest = seen
        assert live.current(database, "m").generation >= done.generation
    assert [item.generation for item in live.history(database, "m")][: newest] == list(range(1, newest + 1))
    if turn % 3 == 2:
        try:
            back = move.rollback(database, home, "m", who=me, why="a turn back", now=utcnow())
            told.append(["deploy", back.generation])
        except (Conflict, Mistake) as refusal:  # what it wanted to go back to was moved by another meanwhile
            told.append(["refused", str(refusal)])
database.close()
print(json.dumps(told))
"""


@pytest.mark.slow
def test_eight_processes_at_once_lose_no_update(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """No error; each number and each generation once; the audit's chain is whole, and tells the state there is."""
    home = Home(tmp_path / "home").made()
    digest = write_bundle(home.runs / "bundle", bundle())
    database = open_database(home, environ)
    told = at_once(home, digest, environ)

    counts = Counter(what for what, _ in told)
    assert counts["deploy"] > counts["register"], "somebody rolled back too"
    assert counts["register"] == PROCESSES * TURNS
    assert sorted(number for what, number in told if what == "register") == list(range(1, PROCESSES * TURNS + 1))
    deployed = live.history(database, "m")
    assert sorted(number for what, number in told if what == "deploy") == [item.generation for item in deployed]
    assert [item.generation for item in deployed] == list(range(1, counts["deploy"] + 1))

    verified = chain.verify(database)
    assert verified.faults == ()
    moves = database.all("SELECT act, was, becomes FROM audit WHERE act IN ('promote', 'rollback') ORDER BY id")
    assert [row["becomes"] for row in moves] == [f"v{item.live}" for item in deployed]
    assert [row["was"] for row in moves] == [None, *(f"v{item.live}" for item in deployed[:-1])]
    once_live = {item.live for item in deployed}
    stages = {item.number: item.stage for item in versions(database, "m")}
    assert stages == {
        number: "production" if number == deployed[-1].live else "archived" if number in once_live else "none"
        for number in range(1, PROCESSES * TURNS + 1)
    }
    database.close()


def at_once(home: Home, digest: str, environ: Mapping[str, str]) -> list[tuple[str, int]]:
    """What the processes say they did; they begin together."""
    words = [str(home.path), digest]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _ONE, *words, f"p{number}", str(TURNS)],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    deadline = time.monotonic() + 120
    while len(list(home.path.glob("ready-*"))) < PROCESSES:
        assert time.monotonic() < deadline, "they did not all start"
        assert all(one.poll() is None for one in running), [one.stderr.read() for one in running if one.poll()]
        time.sleep(0.05)
    (home.path / "go").touch()
    told: list[tuple[str, int]] = []
    for one in running:
        out, errors = one.communicate(timeout=240)
        assert (one.returncode, errors) == (0, "")
        told += [(what, number) for what, number in json.loads(out)]
    return told


def bundle() -> dict[str, bytes]:
    """Half of x: a graph small enough to be loaded at every promotion."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in (NUMBERS, OUTPUT))
    half = [numpy_helper.from_array(np.array([0.5], np.float32), "half")]
    graph = helper.make_graph([helper.make_node("Mul", [NUMBERS, "half"], [OUTPUT])], "half", [x], [y], half)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    frame = pd.DataFrame({"x": np.arange(30.0)})
    contract = infer_contract(
        frame, model="m", task="regression", features=["x"], classes=(), positive=None, label_kind="text"
    )
    return {"model.onnx": model.SerializeToString(), "contract.json": orjson.dumps(contract.to_json())}

"""Many models in one worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from flyball.engine.bundle import write_bundle
from flyball.registry.live import deploy
from flyball.registry.records import Deployment
from flyball.store import Database, Home, moment, open_database

ROW = {"hour": 18.0, "distance": 760.5}


def install(home: Home, database: Database, files: Mapping[str, bytes], model: str) -> None:
    """The same graph under another name."""
    contract = {**orjson.loads(files["contract.json"]), "model": model}
    digest = write_bundle(home.runs / model, {**files, "contract.json": orjson.dumps(contract)})
    record = Deployment(
        model=model,
        generation=0,
        live=1,
        bundles={1: (f"runs/{model}", digest)},
        shadow=(),
        columns={},
        at=moment("2013-06-01T00:00:00Z"),
    )
    with database.write() as tx:
        deploy(tx, record, replaces=None, who="test", why="test")


def resident_mb(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def test_fifty_small_models_fit_in_one_worker(
    installed: Any, bundle_files: Mapping[str, bytes], serve: Callable[..., Any]
) -> None:
    """Each costs a few milliseconds at the start and less than a megabyte: measured 0.3 MB, allowed 2."""
    one = serve()
    alone_mb = resident_mb(one.alive()[0]) if Path("/proc").exists() else 0.0
    one.end()
    database = open_database(installed.home)
    for number in range(50):
        install(installed.home, database, bundle_files, f"m{number}")
    database.close()
    server = serve()
    for number in range(50):
        status, headers, _ = server.request("POST", f"/models/m{number}/predict", {"inputs": [ROW]})
        assert (status, headers["x-flyball-model"]) == (200, f"m{number}@1")
    if alone_mb:
        assert resident_mb(server.alive()[0]) < alone_mb + 50 * 2

"""A real home with one of the benchmarks' models compiled, proven equal and deployed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import joblib
import orjson
import pandas as pd

from benchmarks.serving import models
from benchmarks.serving.environments import CACHE, PACKAGES, versions
from benchmarks.serving.models import FEATURES, rows
from flyball.engine.bundle import write_bundle
from flyball.engine.compile import classes_of, compile_model
from flyball.engine.contract import Contract
from flyball.engine.infer import infer_contract
from flyball.engine.native_files import native_files
from flyball.engine.parity import prove
from flyball.engine.session import load_engine
from flyball.registry.live import deploy
from flyball.registry.records import Deployment
from flyball.store import Home, open_database, utcnow

#: rows on which a compiled model must answer as the fitted one.
PROOF_ROWS = 200


def fitted_models() -> Path:
    """Folder of NAME.joblib for all `models.NAMES`; kept from run to run for the same recipe and packages."""
    recipe = Path(models.__file__).read_text() + str(versions(sys.executable, PACKAGES))
    folder = CACHE / f"models-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    models.fit_into(folder)
    return folder


def bundle_files(fitted_file: Path, name: str) -> dict[str, bytes]:
    """The compiled model and its contract."""
    model = joblib.load(fitted_file)
    contract = _contract(model, name, _frame(2_000, seed=0))
    return {"model.onnx": compile_model(model, contract), "contract.json": orjson.dumps(contract.to_json())}


def native_bundle_files(fitted_file: Path, name: str) -> dict[str, bytes]:
    """The fitted model itself, as a bundle holds one that cannot be compiled."""
    model, frame = joblib.load(fitted_file), _frame(2_000, seed=0)
    contract = _contract(model, name, frame)
    why = "to measure what serving it natively costs"
    files = native_files(model, contract, frame, why=why, project=fitted_file.parent)
    return {**files, "contract.json": orjson.dumps(contract.to_json())}


def deployed(folder: Path, fitted_file: Path, name: str, files: dict[str, bytes], *, shadow: bool = False) -> Home:
    """A home in `folder` where version 1 of model `name` answers; with `shadow`, the same bundle shadows as version 2."""
    home = Home(folder).made()
    digest = write_bundle(home.runs / "bundle", files)
    if "model.onnx" in files:
        _prove(home.runs / "bundle", digest, fitted_file)
    record = Deployment(
        model=name,
        generation=0,
        live=1,
        bundles=dict.fromkeys((1, 2) if shadow else (1,), ("runs/bundle", digest)),
        shadow=(2,) if shadow else (),
        columns={},
        at=utcnow(),
    )
    database = open_database(home)
    with database.write() as tx:
        deploy(tx, record, replaces=None, who="benchmark", why="to be measured")
    database.close()
    return home


def segments(home: Home) -> list[Path]:
    """The files of its workers' journals."""
    return list(home.journal.glob("*.jsonl"))


def forget_journal(home: Home) -> None:
    """Gigabytes, and nobody carries them into a lake here."""
    for segment in segments(home):
        segment.unlink()


def _contract(model: Any, name: str, frame: pd.DataFrame) -> Contract:
    return infer_contract(frame, model=name, task="binary", features=FEATURES, classes=classes_of(model), positive="1")


def _prove(bundle: Path, digest: str, fitted_file: Path) -> None:
    proof = prove(joblib.load(fitted_file), load_engine(bundle, digest), _frame(PROOF_ROWS, seed=2))
    if not proof.passed:
        raise RuntimeError(f"{fitted_file}: {proof.over_tolerance} of {proof.rows} rows differ once compiled")


def _frame(count: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(rows(count, seed).astype("float32"), columns=list(FEATURES))

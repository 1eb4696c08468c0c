"""What is done to a model that exists already, in step processes only: fetch it, look at it, load it, read its table.

Loading runs whatever code a pickle holds, so none of this is called in the process of a command or of the loop.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball.engine.pyfunc import Pyfunc, archive_of
from flyball.errors import Corrupt, Mistake
from flyball.loop import steps
from flyball.loop.adopted_asking import pyfunc_of
from flyball.loop.adopted_table import fitted_to, read_reference
from flyball.loop.engines import Choice
from flyball.pipeline.step import RunContext
from flyball.store.files import sha256_file

if TYPE_CHECKING:
    import pandas as pd

#: flavours whose fitted object is taken out, the one named first; all others are asked through pyfunc.
FITTED = ("sklearn", "lightgbm", "xgboost")

#: what MLflow adds to a folder when it hands it out: no part of the model.
_NOT_THE_MODEL = ("registered_model_meta",)

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/]+))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A model's files on this machine."""

    #: an .onnx file, or a folder with MLmodel.
    path: Path
    #: onnx | sklearn | lightgbm | xgboost | pyfunc
    flavour: str
    #: SHA-256 over its files.
    digest: str
    #: where MLflow has it: server, registered name and version, run; empty for what came as a file.
    origin: Mapping[str, str]


def fetch(source: str, servers: list[str], run: RunContext) -> dict[str, Any]:
    """The step: bring the model into the run's folder; where it lies and what it is."""
    got = fetched(source, servers, run.folder / "source")
    return {
        "path": got.path.resolve().relative_to(run.path.resolve()).as_posix(),
        "flavour": got.flavour,
        "digest": got.digest,
        "origin": dict(got.origin),
    }


def reference(found: Mapping[str, Any], table: str, sha256: str, run: RunContext) -> pd.DataFrame:
    """The step: the reference table, its columns typed as the model's signature has them."""
    path = Path(table)
    if path.is_file() and sha256_file(path) != sha256:
        raise Mistake(f"{path} has changed since its adoption began; run `flyball adopt` again")
    got = _again(found, run)
    return fitted_to(read_reference(path, times=(run.model.timestamp,)), signature_of(got), _own(run))


def bundle(
    found: Mapping[str, Any],
    table: pd.DataFrame,
    run: RunContext,
    name: str,
    timezone: str,
    engine: Choice,
    tolerance: float,
    watched: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The step: load the model and make its bundle. In one process, because what MLflow can load need not be picklable."""
    names = run.model
    model = load(
        _again(found, run),
        table,
        features=names.features,
        task=names.task,
        target=names.target,
        positive=names.positive,
    )
    return steps.bundle(
        model, table, None, run, name, timezone, profiled=True, engine=engine, tolerance=tolerance, watched=watched
    )


def load(
    got: Fetched,
    table: pd.DataFrame,
    *,
    features: tuple[str, ...] | None,
    task: str | None,
    target: str | None,
    positive: str | None,
) -> Any:
    """A fitted estimator, the path of a graph, or a `Pyfunc` that was asked about the table's rows."""
    try:
        if got.flavour == "onnx":
            return got.path if got.path.is_file() else got.path / _flavours(got.path)["onnx"]["data"]
        if got.flavour in FITTED:
            held = import_module(f"mlflow.{got.flavour}").load_model(str(got.path))
            if hasattr(held, "get_params"):
                return held
        if features is None or task is None or target is None:
            return Pyfunc(archive_of(got.path), form="values")
        return pyfunc_of(archive_of(got.path), table, features=features, task=task, target=target, positive=positive)
    except Mistake:
        raise
    except Exception as error:  # whatever a user's model raises
        raise Mistake(f"the model cannot be loaded or asked: {type(error).__name__}: {error}{_lacking(got)}") from error


def fetched(source: str, servers: list[str], folder: Path) -> Fetched:
    """The model of a URI, of an .onnx file or of a folder with MLmodel, copied to `folder`. Raises Mistake."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    origin: Mapping[str, str] = {}
    if re.match(r"(models|runs):/", source):
        path, origin = _downloaded(source, servers, folder)
    else:
        path = _copied(Path(source).expanduser(), folder)
    if path.is_file():
        return Fetched(path=path, flavour="onnx", digest=sha256_file(path), origin=origin)
    if not (path / "MLmodel").is_file():
        raise Mistake(f"{source} has no MLmodel; name a model's own folder, such as runs:/RUN/model")
    known = _flavours(path)
    flavour = next((name for name in ("onnx", *FITTED) if name in known), "pyfunc")
    if flavour == "pyfunc" and "python_function" not in known:
        raise Mistake(f"{source} has flavours {', '.join(known)}, none of which answers from Python")
    return Fetched(path=path, flavour=flavour, digest=_digest(path), origin=origin)


def signature_of(got: Fetched) -> Any:
    """MLflow's signature of the model; None where it has none."""
    if got.path.is_file():
        return None
    return import_module("mlflow.models").Model.load(str(got.path)).signature


def missing_packages(got: Fetched) -> list[str]:
    """The lines of its requirements that are not installed here, whatever their version."""
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    listed = got.path / "requirements.txt"
    lacking = []
    for line in listed.read_text().splitlines() if listed.is_file() else ():
        try:
            name = Requirement(line.partition("#")[0].strip()).name
        except InvalidRequirement:
            continue
        # xgboost, mlflow and others come under several names.
        names = (name, *_SAME.get(name, ()))
        if not any(_installed(metadata, item) for item in names):
            lacking.append(line.strip())
    return lacking


_SAME = {"mlflow": ("mlflow-skinny",), "xgboost": ("xgboost-cpu",), "onnxruntime": ("onnxruntime-gpu",)}


def _installed(metadata: Any, name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _lacking(got: Fetched) -> str:
    lines = missing_packages(got)
    return f"; it requires what is not installed: pip install {' '.join(repr(line) for line in lines)}" if lines else ""


def _again(found: Mapping[str, Any], run: RunContext) -> Fetched:
    """What `fetch` brought, seen to be what it was."""
    path = run.path / found["path"]
    digest = sha256_file(path) if path.is_file() else _digest(path)
    if digest != found["digest"]:
        raise Corrupt(f"{path} is not what was fetched; run `flyball adopt` again")
    return Fetched(path=path, flavour=found["flavour"], digest=digest, origin=found["origin"])


def _own(run: RunContext) -> tuple[str, ...]:
    names = run.model
    return tuple(name for name in (names.target, names.key, names.timestamp) if name)


def _flavours(folder: Path) -> dict[str, Any]:
    return dict(import_module("mlflow.models").Model.load(str(folder)).flavors)


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _NOT_THE_MODEL):
        whole.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
    return whole.hexdigest()


def _copied(path: Path, folder: Path) -> Path:
    if not path.exists():
        raise Mistake(
            f"there is no {path}; name an .onnx file, a folder with MLmodel, models:/NAME/N or runs:/RUN/model"
        )
    if path.name == "MLmodel":
        path = path.parent
    if path.is_dir():
        return Path(shutil.copytree(path, folder / "model", symlinks=False))
    if path.suffix != ".onnx":
        raise Mistake(f"{path} is no .onnx file and no folder with MLmodel; log the model with MLflow, or export it")
    from flyball.engine.graph_file import graph_bytes  # with the weights that lie beside it

    kept = folder / "model.onnx"
    kept.write_bytes(graph_bytes(path))
    return kept


def _downloaded(source: str, servers: list[str], folder: Path) -> tuple[Path, Mapping[str, str]]:
    """From the first server that knows it."""
    mlflow = import_module("mlflow")
    from mlflow.exceptions import MlflowException

    said = ""
    for server in servers:
        mlflow.set_tracking_uri(server)
        mlflow.set_registry_uri(server)
        try:
            origin = _origin(source, server)
            path = mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder / "model"))
        except (MlflowException, OSError) as error:
            said = said or str(error).partition("\n")[0]
            continue
        return Path(path), origin
    raise Mistake(
        f"{source} is not known to MLflow ({said}). Asked: {len(servers)} tracking store"
        f"{'s' if len(servers) > 1 else ''}; MLFLOW_TRACKING_URI names another"
    )


def _origin(source: str, server: str) -> dict[str, str]:
    """Which registered version and run it is, as far as MLflow says."""
    if source.startswith("runs:/"):
        return {"server": server, "run": source.removeprefix("runs:/").partition("/")[0]}
    matched = _REGISTERED.fullmatch(source)
    if matched is None:
        return {"server": server}
    client = import_module("mlflow.tracking").MlflowClient(server, server)
    if matched["alias"]:
        found = client.get_model_version_by_alias(matched["name"], matched["alias"])
    else:
        found = client.get_model_version(matched["name"], matched["version"])
    return {"server": server, "name": matched["name"], "version": str(found.version), "run": found.run_id or ""}

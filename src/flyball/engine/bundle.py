"""A version's bundle: a folder of files with a manifest of their digests; written whole or not at all, never edited."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import orjson

from flyball.engine.contract import Contract
from flyball.errors import Conflict, Corrupt, Mistake
from flyball.store.files import read_json, replace_file, sha256_file

MANIFEST = "manifest.json"
MODEL = "model.onnx"
CONTRACT = "contract.json"
#: how the model's answers compare with the fitted one's, where that was looked at.
PARITY = "parity.json"
#: where no graph stands for the model: how it is asked, and why natively; and the model itself.
NATIVE = "native.json"
PICKLE = "model.pickle"
FORMAT = 1


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write `files` (plain name -> content) and their manifest as `folder`; the SHA-256 of the manifest.

    The folder appears at once. One that exists and is identical is left as it is; another one is a `Conflict`.
    """
    for name in files:
        if not name or Path(name).name != name or name.startswith(".") or name == MANIFEST:
            raise Mistake(f"bundle {folder}: {name!r} cannot be a file of a bundle; needs a plain name")
    manifest = _manifest(files)
    digest = hashlib.sha256(manifest).hexdigest()
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for name, content in {**files, MANIFEST: manifest}.items():
        replace_file(draft / name, content)
    try:
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft)
        if not folder.is_dir():
            raise
        _require_same(folder, digest, error)
    return digest


def verify_bundle(folder: Path, digest: str | None) -> None:
    """Raise `Corrupt`, naming the file, where the folder does not hold what was written.

    `digest` is the manifest's SHA-256 as kept elsewhere; None trusts the manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise Corrupt(f"bundle {folder}: {MANIFEST} is missing; register the version again or restore a backup")
    if digest is not None and sha256_file(path) != digest:
        raise _corrupt(path, f"SHA-256 {sha256_file(path)[:12]}..., registered as {digest[:12]}...")
    for name, entry in _entries(path).items():
        _verify_file(folder / name, entry)


def read_contract(folder: Path) -> Contract:
    """The contract of the version in `folder`. Raises `Corrupt`."""
    path = folder / CONTRACT
    try:
        return Contract.from_json(read_json(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(path, f"not a contract ({type(error).__name__})") from error


def require_proven(folder: Path) -> None:
    """Raise `Corrupt` where the bundle itself says that its model does not answer as the fitted one did."""
    path = folder / PARITY
    if not path.is_file():
        return
    try:
        proof = read_json(path)
        if proof["passed"]:
            return
        what = f"{proof['over_tolerance']} of {proof['rows']} rows differ from what the fitted model answers"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(path, f"not a proof ({type(error).__name__})") from error
    raise _corrupt(path, what)


def _manifest(files: Mapping[str, bytes]) -> bytes:
    entries = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }
    return orjson.dumps({"format": FORMAT, "files": entries}, option=orjson.OPT_INDENT_2) + b"\n"


def _require_same(folder: Path, digest: str, error: OSError) -> None:
    try:
        verify_bundle(folder, digest)
    except Corrupt as corrupt:
        raise Conflict(f"bundle {folder} exists and holds something else: {corrupt}") from error


def _entries(path: Path) -> dict[str, dict[str, object]]:
    try:
        manifest = read_json(path)
        if manifest["format"] != FORMAT:
            raise Mistake(f"{path}: format {manifest['format']!r}, this release reads {FORMAT}; upgrade flyball")
        entries: dict[str, dict[str, object]] = manifest["files"]
        if any(Path(name).name != name for name in entries):
            raise _corrupt(path, "names a file outside the bundle")
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(path, f"not a manifest ({type(error).__name__})") from error
    return entries


def _verify_file(path: Path, entry: Mapping[str, object]) -> None:
    if not path.is_file():
        raise _corrupt(path, "is missing")
    size = path.stat().st_size
    if size != entry.get("bytes"):
        raise _corrupt(path, f"has {size} bytes, was written with {entry.get('bytes')}")
    if sha256_file(path) != entry.get("sha256"):
        raise _corrupt(path, "its SHA-256 is not the one it was written with")


def _corrupt(path: Path, what: str) -> Corrupt:
    return Corrupt(f"{path}: {what}; register the version again or restore a backup")

"""Each peer in a virtual environment of its own, under the system's temporary folder, made on demand and then kept."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

#: models and peers' environments are kept here from run to run.
CACHE = Path(tempfile.gettempdir()) / "flyball-bench"
PEERS = Path(__file__).parents[1] / "peers"
#: whose versions are told.
PACKAGES = ("flyball", "uvicorn", "uvloop", "httptools", "orjson", "onnxruntime", "numpy", "scikit-learn", "lightgbm")
#: pip may take this long for one peer.
INSTALL_S = 1200.0
_SHARED = PEERS / "models.txt"


class CannotInstall(Exception):
    """A peer that is skipped; the text is the last line of what pip said."""


def environment(peer: str) -> Path:
    """Where the peer's environment is, or would be: another folder for other requirements or another Python."""
    wanted = [_requirements(peer).read_bytes(), _SHARED.read_bytes(), sys.version.encode()]
    return CACHE / "peers" / f"{peer}-{hashlib.sha256(b'|'.join(wanted)).hexdigest()[:12]}"


def python(folder: Path) -> Path:
    return folder / "bin" / "python"


def is_installed(peer: str) -> bool:
    return _marker(environment(peer)).exists()


def install(peer: str) -> Path:
    """The peer's environment, made if it is not there. Raises `CannotInstall`."""
    folder = environment(peer)
    if not _marker(folder).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run((sys.executable, "-m", "venv", str(folder)))
        pip = (str(python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run((*pip, "-r", str(_requirements(peer))))
        _marker(folder).touch()
    return folder


def versions(interpreter: Path | str, names: Sequence[str]) -> dict[str, str]:
    """Installed versions of the named distributions; those that are not there are left out."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: found[n.lower()] for n in sys.argv[1:] if n.lower() in found}))"
    )
    CACHE.mkdir(parents=True, exist_ok=True)  # where no package of this folder is found in place of an installed one
    done = subprocess.run((str(interpreter), "-c", code, *names), capture_output=True, check=True, cwd=CACHE)
    result: dict[str, str] = orjson.loads(done.stdout)
    return result


def _requirements(peer: str) -> Path:
    return PEERS / peer / "requirements.txt"


def _marker(folder: Path) -> Path:
    return folder / ".installed"


def _run(argv: Sequence[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotInstall(f"not installed within {INSTALL_S:g} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(said[-1] if said else f"exit {done.returncode}")

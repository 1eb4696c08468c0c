"""The packages a version was made with, installed again in an environment of their own."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from flyball.errors import Unavailable

#: in the home: one folder per lock.
ENVIRONMENTS = "environments"

#: what an installation may take.
TIMEOUT_S = 1_800

#: written last: the environment is whole.
WHOLE = "whole"


def differences(lock: Mapping[str, str], here: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Package -> (version in the lock, version here), where they are not the same; None: not there. Names by PEP 503."""
    then, now = ({_normal(name): version for name, version in each.items()} for each in (lock, here))
    names = sorted({*then, *now})
    return {name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)}


def rebuilt(folder: Path, lock: Mapping[str, str], say: Callable[[str], None]) -> str:
    """The interpreter of an environment that holds what `lock` says, made in `folder` unless it is there already.

    Flyball itself is installed from where this one was. Raises Unavailable, naming what cannot be had.
    """
    text = "".join(f"{name}=={version}\n" for name, version in sorted(lock.items()) if _normal(name) not in _APART)
    place = folder / hashlib.sha256(f"{lock['python']}\n{text}".encode()).hexdigest()[:16]
    python = place / "bin" / "python"
    if not (place / WHOLE).exists():
        shutil.rmtree(place, ignore_errors=True)
        say(f"installing {text.count('==')} packages as they were, in {place} (once)")
        try:
            _install(place, python, lock, text)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
    return str(python)


def _install(place: Path, python: Path, lock: Mapping[str, str], text: str) -> None:
    _do([_interpreter(lock["python"]), "-m", "venv", str(place)], "an environment")
    requirements = place / "lock.txt"
    requirements.write_text(text)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _do([*pip, "-r", str(requirements)], "the packages of its lock")
    _do([*pip, _flyball(lock)], "Flyball")
    (place / WHOLE).touch()


#: installed apart from the lock's packages.
_APART = ("python", "flyball", "pip", "setuptools", "wheel")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _interpreter(version: str) -> str:
    """A Python of the lock's minor release."""
    release = version.rsplit(".", 1)[0]
    if version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}."):
        return sys.executable
    found = shutil.which(f"python{release}")
    if found is None:
        raise Unavailable(
            f"it was made with Python {version}, and there is no python{release} on the PATH; install one, or ask with "
            "--environment current what another environment gives"
        )
    return found


def _flyball(lock: Mapping[str, str]) -> str:
    """What pip is asked for: this Flyball's own folder, where it was installed from one; else the lock's release."""
    said = importlib.metadata.distribution("flyball").read_text("direct_url.json")
    url = json.loads(said)["url"] if said else ""
    if url.startswith("file://"):
        return str(url.removeprefix("file://"))
    return f"flyball=={lock.get('flyball') or lock['Flyball']}"


def _do(words: list[str], what: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"cannot make {what}: {error}") from error
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise Unavailable(
            f"cannot make {what}: {' '.join(last)}; ask with --environment current what this environment gives"
        )

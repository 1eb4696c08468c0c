"""Other tools on the same rows, each in an environment of its own: what one report costs. How each is asked:
`benchmarks/peers/NAME/report.py`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.serving import environments

#: a report may take this long.
MOST_S = 1_800.0
#: none of them tells anybody that it runs.
SILENT = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "WHYLOGS_NO_ANALYTICS": "True"}
INSTALL = "python -m benchmarks.monitoring speed --all-peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool that looks at rows for drift."""

    #: of its folder under `benchmarks/peers`, and of its distribution.
    name: str
    title: str
    #: what is timed.
    report: str
    #: the claim: SciPy's tests are more than so many times as fast; None = told only.
    over: float | None = None

    @property
    def script(self) -> Path:
        return environments.PEERS / self.name / "report.py"

    def why_fair(self) -> str:
        """What its report.py says of itself."""
        return " ".join((ast.get_docstring(ast.parse(self.script.read_text())) or "").split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run of a peer took, importing and reading excluded."""

    peer: Peer
    version: str
    seconds: float


class NotMeasured(Exception):
    """A peer that is left out; the text says why."""


PEERS = (
    Peer(name="evidently", title="Evidently", report="`DataDriftPreset` report", over=20),
    Peer(name="nannyml", title="NannyML", report="`UnivariateDriftCalculator`, fitted before"),
    Peer(name="whylogs", title="whylogs", report="profile of the window alone, nothing judged"),
)


def install_all() -> Iterator[str]:
    """Make the environments that are not there; a line for each peer that cannot be had."""
    for peer in PEERS:
        print(f"installing {peer.title}", file=sys.stderr, flush=True)
        try:
            environments.install(peer.name)
        except environments.CannotInstall as error:
            yield f"{peer.title} cannot be installed: {error}"


def measure(peer: Peer, reference: Path, window: Path, columns: int) -> Report:
    """One report on two Parquet files, in a process of its own. Raises NotMeasured, also where not all columns are in it."""
    if not environments.is_installed(peer.name):
        raise NotMeasured(f"not installed; `{INSTALL}` does so")
    python = environments.python(environments.environment(peer.name))
    argv = (str(python), str(peer.script), str(reference), str(window))
    env = {**os.environ, **SILENT, "PYTHONPATH": ""}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=MOST_S, check=False, env=env, cwd=window.parent
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"no report within {MOST_S:g} s") from error
    if done.returncode:
        raise NotMeasured((done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1])
    last = (done.stdout.splitlines() or [""])[-1]
    try:
        told = orjson.loads(last)
    except orjson.JSONDecodeError as error:
        raise NotMeasured(f"it printed no report, but {last!r}") from error
    if told["columns"] != columns:
        raise NotMeasured(f"its report is of {told['columns']} columns, not of {columns}")
    version = environments.versions(python, [peer.name]).get(peer.name, "?")
    return Report(peer=peer, version=version, seconds=told["seconds"])

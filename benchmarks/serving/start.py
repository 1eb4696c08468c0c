"""A worker's start: how long to its first answer, and what it imported until then."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import servers
from benchmarks.serving.cases import Case, flyball_request
from flyball.store import Home

STARTS = 5
#: packages that no worker may import.
UNWANTED = ("mlflow", "pandas", "sklearn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How one worker over a home with one compiled model starts."""

    #: from the process' start to the end of its first answer, seconds; median of several starts.
    first_answer_s: float
    #: modules imported by then, as the interpreter itself lists them.
    modules: int
    #: those of `UNWANTED` among them.
    unwanted: tuple[str, ...]


def measure_start(case: Case, home: Home, folder: Path) -> Start:
    taken = [_first_answer_s(case, home, folder / "start.log", None) for _ in range(STARTS)]
    _first_answer_s(case, home, folder / "imports.log", {"PYTHONPROFILEIMPORTTIME": "1"})
    imported = _imported((folder / "imports.log").read_text())
    unwanted = tuple(name for name in UNWANTED if name in imported)
    return Start(first_answer_s=statistics.median(taken), modules=len(imported), unwanted=unwanted)


def _first_answer_s(case: Case, home: Home, log: Path, extra_env: dict[str, str] | None) -> float:
    with servers.flyball(home, log, extra_env=extra_env) as server:
        servers.first_answer(server, flyball_request(case, server.port))
        return time.perf_counter() - server.started_at


def _imported(log: str) -> frozenset[str]:
    """Module names in what `python -X importtime` writes: `import time: self | cumulative | name`."""
    lines = (line for line in log.splitlines() if line.startswith("import time:"))
    return frozenset(line.rpartition("|")[2].strip() for line in lines)

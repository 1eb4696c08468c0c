"""A run as Markdown: machine, what was asked and reached, all figures, the peers. Pure but for `machine`."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.serving.cases import ALONE, BARE, ECHO, FLYBALL, NATIVE, SHADOW, SWAPPING, Case, Measured
from benchmarks.serving.claims import RATE, Claim, ratio
from benchmarks.serving.load import Load
from benchmarks.serving.overload import HEAVY, Overload, Round
from benchmarks.serving.peers import PEERS, Prepared

TITLES = {
    ECHO: "bare ASGI echo",
    FLYBALL: "**Flyball**",
    BARE: "Flyball without journal and metrics",
    SHADOW: "Flyball with a shadow version",
    NATIVE: "**Flyball**, requests gathered",
    SWAPPING: "Flyball while versions change",
    ALONE: "Flyball with one call a request",
    **{peer.name: peer.title for peer in PEERS},
}
_MET = {True: "met", False: "**not met**", None: "not measured"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All there is to tell."""

    at: datetime
    machine: str
    #: how busy the machine was before, as `os.getloadavg` tells.
    load_before: float
    rounds: int
    seconds: int
    generator: str
    versions: Mapping[str, str]
    measured: Mapping[Case, Measured]
    overload: Overload
    claims: Sequence[Claim]
    peers: Sequence[Prepared]
    #: peer -> why it could not be used.
    skipped: Mapping[str, str]


def machine() -> str:
    """Processor, cores, memory, system."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    system = f"{platform.system()} {platform.release()}"
    return f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {system}, Python {platform.python_version()}"


def markdown(run: Run) -> str:
    """The whole of RESULTS.md."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield "# Serving, measured"
    yield ""
    yield f"Made by `make bench`; how it is measured: [README](README.md). {run.at:%Y-%m-%d %H:%M} UTC."
    yield ""
    yield f"- Machine: {run.machine}; load average before the run {run.load_before:.2f}."
    rounds = f"{run.rounds} alternating rounds of {run.seconds} s (longer where answers are slow) after one to warm up"
    yield f"- Load: {run.generator}, on the same cores; {rounds}."
    yield f"- Versions: {', '.join(f'{name} {version}' for name, version in run.versions.items())}."
    yield ""
    yield "## Asked and reached"
    yield ""
    yield "Ratios are medians over rounds; figures of one round stand beside each other in time."
    yield ""
    yield from _table(("case", "asked", "reached", ""), ((c.case, c.asked, c.reached, _MET[c.met]) for c in run.claims))
    yield ""
    yield "## All figures"
    yield ""
    yield "Medians over rounds; spread: of the rounds' rates, from lowest to highest. Absolute figures move by tens of percent"
    yield "between machines and hours."
    for case, measured in run.measured.items():
        yield from _case(case, measured)
    yield from _crowds(run.overload)
    yield ""
    yield "## Peers"
    yield ""
    yield "Each with one worker, one thread for its model, and the body it answers fastest."
    yield ""
    used = ((p.peer.title, p.version, p.peer.why_fair()) for p in run.peers)
    yield from _table(("peer", "version", "why this is a fair use of it"), used)
    for name, why in run.skipped.items():
        yield f"\n{TITLES[name]} was left out: {why}"


def _case(case: Case, measured: Measured) -> Iterator[str]:
    yield ""
    yield f"### {case.name}"
    yield ""
    if case.times > 1:
        yield f"{case.times} times as many rounds."
        yield ""
    heads = ("server", "requests/s", *(("rows/s",) if case.rows > 1 else ()), "of echo", "p50 ms", "p99 ms", "spread")
    yield from _table(heads, (_figures(case, measured, name) for name in measured.rounds))


def _crowds(overload: Overload) -> Iterator[str]:
    """Peak and crowd round by round: each crowd came at twice the rate of its own round's peak."""
    yield ""
    yield f"### {HEAVY.name}"
    yield ""
    yield "Round by round; what was answered after the last request was sent is no goodput."
    yield ""
    if overload.fault:
        yield f"Invalid: {overload.fault}."
        yield ""
    heads = (
        "round",
        "peak, requests/s",
        "asked/s",
        "in time/s",
        "after the last/s",
        "refused/s",
        "left/s",
        "goodput of peak",
    )
    yield from _table(heads, (_crowd(number, each) for number, each in enumerate(overload.rounds, start=1)))


def _crowd(number: int, each: Round) -> tuple[str, ...]:
    crowd = each.crowd
    counts = (crowd.asked, crowd.good, crowd.after, crowd.refused, crowd.left)
    rates = (f"{count / crowd.seconds:,.1f}" for count in counts)
    return (str(number), f"{each.peak.requests_per_s:,.1f}", *rates, f"{each.goodput():.3f}")


def _figures(case: Case, measured: Measured, name: str) -> tuple[str, ...]:
    if name in measured.faults or not (loads := measured.rounds[name]):
        return (TITLES[name], f"invalid: {measured.faults.get(name, 'no rounds')}")
    rate, of_echo = _median(loads, RATE), ratio(measured, name, ECHO)
    return (
        TITLES[name],
        f"{rate:,.0f}",
        *((f"{rate * case.rows:,.0f}",) if case.rows > 1 else ()),
        "" if of_echo is None else f"{of_echo:.3f}",
        f"{_median(loads, lambda load: load.p50_ms):.2f}",
        f"{_median(loads, lambda load: load.p99_ms):.2f}",
        f"{(max(map(RATE, loads)) - min(map(RATE, loads))) / rate:.0%}",
    )


def _median(loads: Iterable[Load], by: Callable[[Load], float]) -> float:
    return statistics.median(map(by, loads))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        cells = [*row, *("",) * (len(heads) - len(row))]
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        return names[0] if names else platform.machine()
    if sys.platform == "darwin":
        said = ("sysctl", "-n", "machdep.cpu.brand_string")
        return subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()
    return platform.machine()

"""`make bench`: measures serving against bare echo and against its peers, prints the table, writes RESULTS.md.

Exit code 1 where a figure of Flyball's is invalid; a target that was not met is told, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.serving import environments, models, report
from benchmarks.serving.cases import (
    ALONE,
    CASES,
    FLYBALL,
    LIGHTGBM_16,
    NATIVE,
    SHADOW,
    SWAPS,
    Case,
    Loading,
    Measured,
    Site,
)
from benchmarks.serving.claims import claims
from benchmarks.serving.homes import bundle_files, deployed, fitted_models, native_bundle_files
from benchmarks.serving.hotswap import measure_swaps
from benchmarks.serving.load import tool
from benchmarks.serving.overload import HEAVY, measure_overload
from benchmarks.serving.peers import FASTAPI, PEERS, Prepared, prepare
from benchmarks.serving.replacement import DEATHS, measure_replacement
from benchmarks.serving.rounds import loading_for, measure
from benchmarks.serving.start import measure_start
from flyball.store import Home

RESULTS = Path(__file__).parents[1] / "RESULTS.md"


def main(argv: Sequence[str]) -> int:
    arguments = _parse(argv)
    load_before = os.getloadavg()[0]
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, arguments.seconds)
    peers, skipped = _prepared(_wanted(arguments))
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        site = Site(homes=_homes(Path(folder)), peers=peers, folder=Path(folder))
        home, loading = site.homes[LIGHTGBM_16.model, FLYBALL], loading_for(seconds)
        _say("a worker's start")
        start = measure_start(LIGHTGBM_16, home, site.folder)
        _say("a killed worker's replacement")
        replacement = measure_replacement(LIGHTGBM_16, home, 1 if arguments.quick else DEATHS)
        measured = {case: _measured(case, site, loading, rounds) for case in (*CASES, SWAPS)}
        _say(HEAVY.name)
        overload = measure_overload(site, loading, rounds)
    run = report.Run(
        at=datetime.now(UTC),
        machine=report.machine(),
        load_before=load_before,
        rounds=rounds,
        seconds=seconds,
        generator=tool(),
        versions=environments.versions(sys.executable, environments.PACKAGES),
        measured=measured,
        overload=overload,
        claims=claims({case.name: found for case, found in measured.items()}, start, replacement, overload),
        peers=peers,
        skipped=skipped,
    )
    text = report.markdown(run)
    print(text)
    if not arguments.quick:
        RESULTS.write_text(text)
        _say(f"written to {RESULTS}")
    faulty = any({case.kind, *case.variants} & found.faults.keys() for case, found in measured.items())
    return 1 if faulty or replacement.fault or overload.fault else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    names = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--peers", help=f"of {names}, with commas between; else fastapi and those installed before")
    parser.add_argument("--all-peers", action="store_true", help="install and measure all of them (3 GB)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of a second, with FastAPI alone unless peers are named; RESULTS.md is left alone",
    )
    parser.add_argument("--rounds", type=int, default=5, help="odd, for the median; default %(default)s")
    parser.add_argument("--seconds", type=int, default=3, help="of one round; default %(default)s")
    arguments = parser.parse_args(argv)
    known = {peer.name for peer in PEERS}
    if arguments.peers and (unknown := set(arguments.peers.split(",")) - known):
        parser.error(f"no such peers: {', '.join(sorted(unknown))}; there are {names}")
    return arguments


def _wanted(arguments: argparse.Namespace) -> list[str]:
    if arguments.all_peers:
        return [peer.name for peer in PEERS]
    if arguments.peers is not None:
        return [name for name in arguments.peers.split(",") if name]
    if arguments.quick:
        return [FASTAPI.name]
    return [peer.name for peer in PEERS if peer is FASTAPI or environments.is_installed(peer.name)]


def _prepared(wanted: Sequence[str]) -> tuple[list[Prepared], dict[str, str]]:
    """Peers ready to serve, and those that cannot be, with the reason."""
    ready, skipped = [], {}
    for peer in PEERS:
        if peer.name in wanted:
            _say(f"preparing {peer.title}")
            try:
                ready.append(prepare(peer))
            except environments.CannotInstall as error:
                skipped[peer.name] = str(error)
                _say(f"{peer.title} is left out: {error}")
    return ready, skipped


def _homes(folder: Path) -> dict[tuple[str, str], Home]:
    """One home for each model and kind of worker, so that their journals and counters keep apart."""
    fitted = fitted_models()
    homes = {}
    for name in models.NAMES:
        _say(f"compiling {name}")
        file = fitted / f"{name}.joblib"
        compiled = bundle_files(file, name)
        for kind in sorted(
            {kind for case in (*CASES, SWAPS, HEAVY) if case.model == name for kind in (case.kind, *case.variants)}
        ):
            files = native_bundle_files(file, name) if kind in (NATIVE, ALONE) else compiled
            homes[name, kind] = deployed(folder / f"{name}-{kind}", file, name, files, shadow=kind == SHADOW)
    return homes


def _measured(case: Case, site: Site, loading: Loading, rounds: int) -> Measured:
    _say(case.name)
    found = (measure_swaps if case is SWAPS else measure)(case, site, loading, rounds * case.times)
    for server, fault in found.faults.items():
        _say(f"  {server}: {fault}")
    return found


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a change of versions costs the requests that are answered meanwhile: the same worker with and without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

from benchmarks.serving import servers
from benchmarks.serving.cases import FLYBALL, SWAPPING, Case, Loading, Measured, Site, flyball_request
from benchmarks.serving.homes import forget_journal
from benchmarks.serving.load import Broken, Load
from benchmarks.serving.servers import Server, first_answer, scraped
from flyball.engine.bundle import write_bundle
from flyball.registry.live import current, deploy
from flyball.store import Home, open_database

#: ten promotions and ten rollbacks; version 1 is live before and after. Rounds take turns at them, four each.
SWAPPED = (*range(2, 12), *range(10, 0, -1))
IN_A_ROUND = 4
EVERY_S = 1.0


def measure_swaps(case: Case, site: Site, loading: Loading, rounds: int) -> Measured:
    """Rounds in turn, one without and one with four of `SWAPPED`, after one to warm up, which is not kept."""
    home = site.homes[case.model, SWAPPING]
    bundles = _bundles(home)
    calm: list[Load] = []
    swapped: list[Load] = []
    faults: dict[str, str] = {}
    with servers.flyball(home, site.folder / f"{SWAPPING}.log") as server:
        request = flyball_request(case, server.port)
        first_answer(server, request)
        try:
            loading(request, replace(case, least_s=1))
            for turn in range(rounds):
                calm.append(loading(request, case))
                with _swapping(home, case.model, bundles, _of_round(turn)):
                    swapped.append(loading(request, case))
        except Broken as broken:
            faults[SWAPPING] = str(broken)
        if failed := sum(load.failed for load in swapped):
            faults[SWAPPING] = f"{failed} answers failed"
        elif missing := {str(number) for turn in range(rounds) for number in _of_round(turn)} - _answered(server):
            faults[SWAPPING] = f"versions {', '.join(sorted(missing))} never answered"
        resident_mb = servers.resident_mb(server.pid)
    forget_journal(home)
    rounds_of = {FLYBALL: tuple(calm), SWAPPING: tuple(swapped)}
    return Measured(rounds=rounds_of, faults=faults, resident_mb=resident_mb, shadow_scored=None)


def _of_round(turn: int) -> tuple[int, ...]:
    """The versions that become live in a round."""
    start = turn * IN_A_ROUND % len(SWAPPED)
    return SWAPPED[start : start + IN_A_ROUND]


def _bundles(home: Home) -> dict[int, tuple[str, str]]:
    """Folder and digest of every version: the same model, each in a bundle that differs, so that each is loaded anew."""
    files = {path.name: path.read_bytes() for path in (home.runs / "bundle").iterdir() if path.name != "manifest.json"}
    found = {}
    for number in sorted(set(SWAPPED)):
        place = f"runs/v{number}"
        digest = write_bundle(home.path / place, {**files, "number.txt": str(number).encode()})
        found[number] = (place, digest)
    return found


@contextmanager
def _swapping(home: Home, model: str, bundles: dict[int, tuple[str, str]], numbers: Sequence[int]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_swap, args=(home, model, bundles, numbers, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _swap(
    home: Home, model: str, bundles: dict[int, tuple[str, str]], numbers: Sequence[int], stop: threading.Event
) -> None:
    """Deploy one after the other, until told to stop."""
    with closing(open_database(home)) as database:
        for number in numbers:
            if stop.wait(EVERY_S):
                return
            with database.write() as tx:
                before = current(tx, model)
                assert before is not None
                wanted = replace(before, live=number, bundles={number: bundles[number]})
                deploy(tx, wanted, replaces=before.generation, who="benchmark", why="to be measured")


def _answered(server: Server) -> set[str]:
    """The versions that answered."""
    counted = (name for name, value in scraped(server).items() if name.startswith("flyball_requests_total") and value)
    return {name.partition('version="')[2].partition('"')[0] for name in counted}

"""One case measured: its servers started, loaded in alternating rounds, their own books looked at, ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.serving import alone_worker, bare_worker, echo, models, servers
from benchmarks.serving.cases import ALONE, BARE, ECHO, SHADOW, Case, Loading, Measured, Site, flyball_request
from benchmarks.serving.homes import forget_journal, segments
from benchmarks.serving.load import Broken, Load, Request, load
from benchmarks.serving.peers import serving
from benchmarks.serving.servers import ENV, NotServing, Server, first_answer, free_port, running, scraped, total
from flyball.store import Home

#: kinds that are measured with a worker of their own: without journal and metrics; with one call for each request.
STAND_INS = {BARE: bare_worker.__file__, ALONE: alone_worker.__file__}


def measure(case: Case, site: Site, loading: Loading, rounds: int) -> Measured:
    """Start the case's servers, warm them up, load each in turn `rounds` times, look at their books, end them."""
    faults: dict[str, str] = {}
    with ExitStack() as stack:
        started = dict(_started(case, site, stack, faults))
        results = alternate({name: request for name, (_, request) in started.items()}, case, loading, rounds, faults)
        flyball = {name: started[name][0] for name in (case.kind, *case.variants)}
        for name, server in flyball.items():
            if fault := books_wrong(name, scraped(server), site.homes[case.model, name]):
                faults.setdefault(name, fault)
        found = Measured(
            rounds=results,
            faults=faults,
            resident_mb=servers.resident_mb(flyball[case.kind].pid),
            shadow_scored=_shadow_scored(scraped(flyball[SHADOW])) if SHADOW in flyball else None,
        )
    for name in flyball:
        forget_journal(site.homes[case.model, name])
    return found


def loading_for(seconds: int) -> Loading:
    """Loads of `seconds`, of a case that needs longer rounds as long as that one says; with wrk where it is installed."""
    wrk = shutil.which("wrk")

    def loading(request: Request, case: Case) -> Load:
        return load(request, connections=case.connections, seconds=max(seconds, case.least_s), wrk=wrk)

    return loading


def alternate(
    requests: Mapping[str, Request], case: Case, loading: Loading, rounds: int, faults: dict[str, str]
) -> dict[str, tuple[Load, ...]]:
    """Rounds in turn after one to warm up, which is not kept. A server that fails goes into `faults` and is left out."""
    kept: dict[str, list[Load]] = {name: [] for name in requests}
    for turn in range(rounds + 1):
        for name, request in requests.items():
            if name in faults:
                continue
            try:
                met = loading(request, case)
            except Broken as broken:
                faults[name] = str(broken)
                continue
            if met.failed:
                faults[name] = f"{met.failed} of {met.answers} answers failed"
            if turn:
                kept[name].append(met)
    return {name: tuple(loads) for name, loads in kept.items()}


def _started(
    case: Case, site: Site, stack: ExitStack, faults: dict[str, str]
) -> Iterator[tuple[str, tuple[Server, Request]]]:
    """Echo and Flyball must come up; a peer that does not is left out, with the reason in `faults`."""
    flyball = stack.enter_context(servers.flyball(site.homes[case.model, case.kind], site.folder / "flyball.log"))
    request = flyball_request(case, flyball.port)
    answer = first_answer(flyball, request)
    echoing = stack.enter_context(_echo(answer, site.folder))
    asked_of_echo = flyball_request(case, echoing.port)
    first_answer(echoing, asked_of_echo)
    yield ECHO, (echoing, asked_of_echo)
    yield case.kind, (flyball, request)
    for name in case.variants:
        home, log = site.homes[case.model, name], site.folder / f"{name}.log"
        variant = stack.enter_context(servers.flyball(home, log, stand_in=STAND_INS.get(name)))
        asked = flyball_request(case, variant.port)
        first_answer(variant, asked)
        yield name, (variant, asked)
    for prepared in site.peers if case.peers else ():
        peer = prepared.peer
        server = stack.enter_context(serving(prepared, case.model, site.folder / f"{peer.name}.log"))
        asked = peer.request(server.port, case.model, models.rows(case.rows, seed=3))
        try:
            if not _agree(answer, first_answer(server, asked)):
                faults[peer.name] = "it answers other probabilities than Flyball"
        except NotServing as error:
            faults[peer.name] = str(error)
        yield peer.name, (server, asked)


@contextmanager
def _echo(answer: bytes, folder: Path) -> Iterator[Server]:
    """The reference, answering as many bytes as Flyball."""
    file, port = folder / "answer", free_port()
    file.write_bytes(answer)
    argv = (servers.PYTHON, "-P", echo.__file__, str(port), str(file))
    with running(argv, port, folder / "echo.log", env=ENV) as server:
        yield server


def _agree(flyball: bytes, peer: bytes) -> bool:
    """Whether every probability of Flyball's answer stands in the peer's, whatever its form; float32 against float64."""
    expected = orjson.loads(flyball)["predictions"]
    got = np.sort(np.fromiter(_numbers(orjson.loads(peer)), dtype=np.float64))
    at = np.searchsorted(got, expected)
    near = np.minimum(abs(got[at.clip(max=len(got) - 1)] - expected), abs(got[(at - 1).clip(min=0)] - expected))
    return bool((near < 1e-5).all())


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, float | int):
        yield value


def books_wrong(name: str, samples: Mapping[str, float], home: Home) -> str | None:
    """What is wrong with a worker's own counts: everything journaled and counted, or, bare, nothing at all."""
    journal_bytes = sum(segment.stat().st_size for segment in segments(home))
    rows, written = total(samples, "flyball_rows_total"), total(samples, "flyball_journal_records_total", "written")
    if name == BARE:
        return "it still writes or counts; mend bare_worker.py" if rows or journal_bytes else None
    if not rows or rows != written or not journal_bytes:
        return f"{rows:.0f} rows answered, {written:.0f} journaled"
    return None


def _shadow_scored(samples: Mapping[str, float]) -> float:
    return total(samples, "flyball_shadow_total", "written") / total(samples, "flyball_requests_total", 'code="200"')

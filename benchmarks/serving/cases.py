"""The cases: which request over how many connections, to which servers; measured in alternating rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from benchmarks.serving import alone_worker, bare_worker, echo, models, servers
from benchmarks.serving.load import Broken, Load, Request
from benchmarks.serving.peers import Prepared, serving
from benchmarks.serving.servers import ENV, NotServing, Server, first_answer, free_port, running
from flyball.store import Home

#: servers by the names they have in results; a peer has its own.
ECHO, FLYBALL, BARE, SHADOW = "echo", "flyball", "bare", "shadow"
NATIVE, ALONE = "native", "alone"
SWAPPING = "swapping"
#: kinds that are measured with a worker of their own: without journal and metrics; with one call for each request.
STAND_INS = {BARE: bare_worker.__file__, ALONE: alone_worker.__file__}

#: puts one round of a case's load on a server.
Loading = Callable[[Request, "Case"], Load]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request, asked over and over."""

    name: str
    model: str
    rows: int
    connections: int
    #: of the body in Flyball's protocol: one object a row, or names once and rows as lists.
    form: Literal["records", "columns"] = "records"
    #: also put to all peers, to each in its own best form.
    peers: bool = False
    #: the kind of Flyball that is measured, and further kinds beside it.
    kind: str = FLYBALL
    variants: tuple[str, ...] = ()
    #: a round is at least this long: each client is to have several answers.
    least_s: int = 1


LIGHTGBM_16 = Case(
    name="1 row, LightGBM, 16 connections",
    model=models.LIGHTGBM,
    rows=1,
    connections=16,
    peers=True,
    variants=(BARE, SHADOW),
)
FOREST_16 = Case(name="1 row, random forest, 16 connections", model=models.FOREST, rows=1, connections=16, peers=True)
COLUMNS = Case(
    name="1,000 rows, logistic regression, columns + data",
    model=models.LOGISTIC,
    rows=1_000,
    connections=16,
    form="columns",
    peers=True,
)
NATIVE_64 = Case(
    name="1 row, random forest kept native, 64 connections",
    model=models.FOREST,
    rows=1,
    connections=64,
    kind=NATIVE,
    variants=(ALONE,),
    least_s=6,
)
RECORDS = Case(name="1,000 rows, logistic regression, records", model=models.LOGISTIC, rows=1_000, connections=16)
CASES = (
    LIGHTGBM_16,
    Case(name="1 row, LightGBM, 1 connection", model=models.LIGHTGBM, rows=1, connections=1),
    Case(name="1 row, LightGBM, 64 connections", model=models.LIGHTGBM, rows=1, connections=64),
    FOREST_16,
    COLUMNS,
    RECORDS,
    NATIVE_64,
)
#: measured by `hotswap`: one worker, and the same worker while versions change.
SWAPS = Case(
    name="1 row, LightGBM, 16 connections, versions changing",
    model=models.LIGHTGBM,
    rows=1,
    connections=16,
    variants=(SWAPPING,),
    least_s=5,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a run has prepared: homes by model and kind, peers, a folder for logs."""

    homes: Mapping[tuple[str, str], Home]
    peers: Sequence[Prepared]
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one case came to."""

    #: server -> its rounds; round n of all servers ran one after the other.
    rounds: Mapping[str, tuple[Load, ...]]
    #: server -> why its figures say nothing.
    faults: Mapping[str, str]
    #: memory of Flyball's worker after its rounds, MB.
    resident_mb: float
    #: share of answered requests that the shadow version scored and journaled; None where there is none.
    shadow_scored: float | None


def measure(case: Case, site: Site, loading: Loading, rounds: int) -> Measured:
    """Start the case's servers, warm them up, load each in turn `rounds` times, look at their books, end them."""
    faults: dict[str, str] = {}
    with ExitStack() as stack:
        started = dict(_started(case, site, stack, faults))
        results = alternate({name: request for name, (_, request) in started.items()}, case, loading, rounds, faults)
        flyball = {name: started[name][0] for name in (case.kind, *case.variants)}
        for name, server in flyball.items():
            if fault := _books_wrong(name, scraped(server), _bytes(_segments(site.homes[case.model, name]))):
                faults.setdefault(name, fault)
        found = Measured(
            rounds=results,
            faults=faults,
            resident_mb=servers.resident_mb(flyball[case.kind].pid),
            shadow_scored=_shadow_scored(scraped(flyball[SHADOW])) if SHADOW in flyball else None,
        )
    for name in flyball:
        for segment in _segments(site.homes[case.model, name]):
            segment.unlink()  # gigabytes, and nobody carries them into a lake here
    return found


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


def flyball_request(case: Case, port: int) -> Request:
    table = models.rows(case.rows, seed=3).tolist()
    inputs: Any = [dict(zip(models.FEATURES, row, strict=True)) for row in table]
    if case.form == "columns":
        inputs = {"columns": models.FEATURES, "data": table}
    return Request(port=port, path=f"/models/{case.model}/predict", body=orjson.dumps({"inputs": inputs}))


def scraped(server: Server) -> dict[str, float]:
    """The samples of /metrics: name with labels -> value."""
    lines = servers.get(server, "/metrics").decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def total(samples: Mapping[str, float], *parts: str) -> float:
    """The sum of all samples whose names hold all `parts`."""
    return sum(value for name, value in samples.items() if all(part in name for part in parts))


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


def _segments(home: Home) -> list[Path]:
    return list(home.journal.glob("*.jsonl"))


def _bytes(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _books_wrong(name: str, samples: Mapping[str, float], journal_bytes: int) -> str | None:
    """What is wrong with a worker's own counts: everything journaled and counted, or, bare, nothing at all."""
    rows, written = total(samples, "flyball_rows_total"), total(samples, "flyball_journal_records_total", "written")
    if name == BARE:
        return "it still writes or counts; mend bare_worker.py" if rows or journal_bytes else None
    if not rows or rows != written or not journal_bytes:
        return f"{rows:.0f} rows answered, {written:.0f} journaled"
    return None


def _shadow_scored(samples: Mapping[str, float]) -> float:
    return total(samples, "flyball_shadow_total", "written") / total(samples, "flyball_requests_total", 'code="200"')

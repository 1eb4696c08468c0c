"""The cases: which request over how many connections, to which servers; and what a measured one came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from benchmarks.serving import models
from benchmarks.serving.load import Load, Request
from benchmarks.serving.peers import Prepared
from flyball.store import Home

#: servers by the names they have in results; a peer has its own.
ECHO, FLYBALL, BARE, SHADOW = "echo", "flyball", "bare", "shadow"
NATIVE, ALONE = "native", "alone"
SWAPPING = "swapping"
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
    #: times as many rounds as others have, where small differences are asked for.
    times: int = 1


LIGHTGBM_16 = Case(
    name="1 row, LightGBM, 16 connections",
    model=models.LIGHTGBM,
    rows=1,
    connections=16,
    peers=True,
)
#: what Flyball's own parts cost: rounds differ by a tenth among themselves, and a tenth is what is asked for.
COSTS = Case(
    name="1 row, LightGBM, 16 connections, its own costs",
    model=models.LIGHTGBM,
    rows=1,
    connections=16,
    variants=(BARE, SHADOW),
    times=3,
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
    COSTS,
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


def flyball_request(case: Case, port: int) -> Request:
    table = models.rows(case.rows, seed=3).tolist()
    inputs: Any = [dict(zip(models.FEATURES, row, strict=True)) for row in table]
    if case.form == "columns":
        inputs = {"columns": models.FEATURES, "data": table}
    return Request(port=port, path=f"/models/{case.model}/predict", body=orjson.dumps({"inputs": inputs}))

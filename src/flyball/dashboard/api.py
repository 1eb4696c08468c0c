"""The JSON under `/api`: the records that the pages show, and the acts of an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Security
from fastapi.security import HTTPBearer
from starlette.responses import Response

from flyball.dashboard import acts, reads, view
from flyball.dashboard.answers import json_answer
from flyball.dashboard.performances import PerformanceRow, performance_rows
from flyball.dashboard.place import Here, Who
from flyball.dashboard.records import (
    Alert,
    DayMetric,
    Fleet,
    ModelCard,
    Tenure,
    VersionPage,
    VersionRow,
    Window,
)
from flyball.errors import Mistake, NotFound
from flyball.registry.decisions import Decision, Kind, decisions
from flyball.registry.live import live_at
from flyball.registry.records import Deployment
from flyball.store import moment

_PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}

router = APIRouter(
    prefix="/api",
    default_response_class=Response,
    # For the description only: the door (access.py) has looked at the token before any route is reached.
    dependencies=[Security(HTTPBearer(auto_error=False))],
    responses={
        401: {"description": "no token, or none that is known here", "content": _PROBLEM},
        404: {"description": "no such model, version or decision", "content": _PROBLEM},
        422: {"description": "cannot be understood", "content": _PROBLEM},
    },
)

_ACT: dict[int | str, dict[str, Any]] = {
    403: {"description": "the token's role may only look", "content": _PROBLEM},
    409: {"description": "somebody else moved first; nothing was changed", "content": _PROBLEM},
}

Limit = Annotated[int, Query(ge=1, le=10_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """An act's reason; the audit keeps it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Which version should answer, and why."""

    version: int
    why: str
    #: even a version that its gate refused; the audit keeps that.
    despite_gate: bool = False


@router.get("/models", response_model=Fleet, summary="What is live, since when, and how it does")
def fleet(here: Here) -> Response:
    return json_answer(view.fleet(here.home, here.database))


@router.get("/models/{model}", response_model=ModelCard, summary="One model")
def one(model: str, here: Here) -> Response:
    reads.require_model(here.database, model)
    return json_answer(view.card(here.home, here.database, model))


@router.get("/models/{model}/versions", response_model=list[VersionRow], summary="All versions, newest first")
def versions(model: str, here: Here) -> Response:
    reads.require_model(here.database, model)
    return json_answer(view.version_rows(here.database, model))


@router.get(
    "/models/{model}/versions/{number}", response_model=VersionPage, summary="Lineage, gate verdict, contract, parity"
)
def version(model: str, number: int, here: Here) -> Response:
    return json_answer(view.version_page(here.home, here.database, model, number))


@router.get("/models/{model}/decisions", response_model=list[Decision], summary="Decisions with evidence, newest first")
def decided(
    model: str, here: Here, kind: Kind | None = None, subject: str | None = None, limit: Limit = 50
) -> Response:
    reads.require_model(here.database, model)
    return json_answer(decisions(here.database, model, kind=kind, subject=subject, limit=limit))


@router.get("/decisions/{number}", response_model=Decision, summary="One decision with its evidence")
def decision(number: int, here: Here) -> Response:
    return json_answer(reads.decision(here.database, number))


@router.get("/models/{model}/windows", response_model=list[Window], summary="Watched windows, oldest first")
def windows(
    model: str, here: Here, kind: Literal["drift", "performance"] | None = None, limit: Limit = 400
) -> Response:
    reads.require_model(here.database, model)
    return json_answer(reads.windows(here.database, model, kind=kind, limit=limit))


@router.get("/models/{model}/metrics", response_model=dict[str, list[DayMetric]], summary="Metrics by day")
def metrics(model: str, here: Here, metric: str | None = None, days: Limit | None = None) -> Response:
    reads.require_model(here.database, model)
    return json_answer(reads.daily_metrics(here.database, model, metric=metric, days=days))


@router.get(
    "/models/{model}/performance",
    response_model=list[PerformanceRow],
    summary="Performance by window, version, variant and slice: measured, mature or not, and estimated without labels",
)
def performance(model: str, here: Here, metric: str | None = None, limit: Limit = 100) -> Response:
    reads.require_model(here.database, model)
    return json_answer(performance_rows(here.database, model, metric=metric, limit=limit))


@router.get("/models/{model}/history", response_model=list[Tenure], summary="What answered when, newest first")
def history(model: str, here: Here) -> Response:
    reads.require_model(here.database, model)
    return json_answer(reads.history(here.database, model))


@router.get("/models/{model}/at", response_model=Deployment, summary="What answered at a time (RFC 3339)")
def at(model: str, time: str, here: Here) -> Response:
    reads.require_model(here.database, model)
    asked = _moment(time)
    if asked > here.clock():
        raise Mistake(f"time: {time!r} has not come yet; give a time up to now")
    found = live_at(here.database, model, asked)
    if found is None:
        raise NotFound(f"{model} was not live at {time}; /api/models/{model}/history says when it was")
    return json_answer(found)


@router.get("/alerts", response_model=list[Alert], summary="Open alerts first, then the resolved ones")
def alerts(here: Here, model: str | None = None, limit: Limit = 200) -> Response:
    return json_answer(reads.alerts(here.database, model=model, limit=limit))


@router.post(
    "/models/{model}/retrain",
    response_model=acts.Requested,
    status_code=202,
    responses=_ACT,
    summary="Ask for a run (operator)",
)
def retrain(
    model: str, body: Why, here: Here, who: Who, idempotency_key: Annotated[str | None, Header()] = None
) -> Response:
    request = acts.request_retrain(here.database, model, who=who, why=body.why, key=idempotency_key, now=here.clock())
    return json_answer(request, 202)


@router.post(
    "/models/{model}/promote", response_model=Deployment, responses=_ACT, summary="Put a version live (operator)"
)
def promote(model: str, body: Promotion, here: Here, who: Who) -> Response:
    return json_answer(
        acts.promote(
            here.home,
            here.database,
            model,
            body.version,
            who=who,
            why=body.why,
            now=here.clock(),
            despite_gate=body.despite_gate,
        )
    )


@router.post(
    "/models/{model}/rollback",
    response_model=Deployment,
    responses=_ACT,
    summary="Put the version before back (operator)",
)
def rollback(model: str, body: Why, here: Here, who: Who) -> Response:
    return json_answer(acts.rollback(here.home, here.database, model, who=who, why=body.why, now=here.clock()))


def _moment(text: str) -> datetime:
    # In a query an unescaped "+00:00" arrives as " 00:00".
    try:
        return moment(text.replace(" ", "+"))
    except ValueError as error:
        raise Mistake(f"time: {error}") from error

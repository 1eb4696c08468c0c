"""The HTML pages. Each route reads one record of `view` and renders it; forms act as the API does, then go back."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from flyball.dashboard import acts, reads, view
from flyball.dashboard.answers import page
from flyball.dashboard.charts import chart_span
from flyball.dashboard.drifts import feature_drifts
from flyball.dashboard.place import Here, Place, Who
from flyball.errors import Mistake
from flyball.registry.decisions import decisions

router = APIRouter(include_in_schema=False)

MOST_FORM_BYTES = 10_000


@router.get("/")
def fleet(here: Here) -> Response:
    found = view.fleet(here.home, here.database)
    return page("fleet.html", fleet=found, now=here.clock(), serve_url=here.serve_url)


@router.get("/models/{model}")
def model(model: str, here: Here, who: Who) -> Response:
    found = view.model_page(here.home, here.database, model)
    span = chart_span(found.card.performance.days, found.windows)
    return page("model.html", found=found, card=found.card, span=span, who=who, serve_url=here.serve_url)


@router.get("/models/{model}/versions/{number}")
def version(model: str, number: int, here: Here) -> Response:
    return page("version.html", found=view.version_page(here.home, here.database, model, number))


@router.get("/models/{model}/decisions")
def decided(model: str, here: Here) -> Response:
    reads.require_model(here.database, model)
    return page("decisions.html", model=model, decisions=decisions(here.database, model, limit=1000))


@router.get("/decisions/{number}")
def decision(number: int, here: Here) -> Response:
    found = reads.decision(here.database, number)
    drifts = feature_drifts(found.evidence)
    return page("decision.html", found=found, results=view.rule_results(found.evidence), drifts=drifts)


@router.get("/api/docs")
def docs(request: Request) -> Response:
    return page("api.html", openapi=request.app.openapi())


@router.post("/models/{model}/{act}")
async def act(model: str, act: str, request: Request, here: Here, who: Who) -> Response:
    """A form's act: retrain, promote or rollback; then back to the model's page."""
    form = await _form(request)
    await run_in_threadpool(_carry_out, here, model, act, form, who)
    return RedirectResponse(f"/models/{quote(model)}", 303)


def _carry_out(here: Place, model: str, act: str, form: dict[str, str], who: Any) -> None:
    why, now = form.get("why", ""), here.clock()
    if act == "retrain":
        acts.request_retrain(here.database, model, who=who, why=why, key=None, now=now)
    elif act == "promote":
        number, despite = _number(form.get("version", "")), "despite_gate" in form
        acts.promote(here.home, here.database, model, number, who=who, why=why, now=now, despite_gate=despite)
    elif act == "rollback":
        acts.rollback(here.home, here.database, model, who=who, why=why, now=now)
    else:
        raise Mistake(f"{act!r} is not an act; there are retrain, promote and rollback")


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            raise Mistake(f"a form of more than {MOST_FORM_BYTES:,} bytes; say why more briefly")
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Mistake(f"version {text!r} is not a number")
    return int(text)

"""The control plane's application: pages, JSON, metrics and probes behind one door."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from importlib import resources

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from flyball.dashboard import api, exposition, pages
from flyball.dashboard.access import LOOPBACK, Access
from flyball.dashboard.answers import json_answer, refusal, refusal_of
from flyball.dashboard.place import Here, Place
from flyball.errors import FlyballError, Unavailable
from flyball.store import Database, Home, utcnow

probes = APIRouter(include_in_schema=False)


def build_app(
    home: Home,
    database: Database,
    *,
    host: str = "127.0.0.1",
    serve_url: str | None = None,
    clock: Callable[[], datetime] = utcnow,
) -> FastAPI:
    """The application for one home. `host`: where it is bound; on loopback, other Host headers are refused."""
    app = FastAPI(
        title="Flyball",
        description="What is live, since when, how it does, and why. Every route needs a bearer token.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; /api/docs is our own
        redoc_url=None,
    )
    app.state.place = Place(home=home, database=database, serve_url=serve_url, clock=clock)
    for router in (probes, api.router, pages.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=str(resources.files("flyball.dashboard") / "static")))
    app.add_exception_handler(FlyballError, _domain_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    hosts = LOOPBACK | {host} if host in LOOPBACK or host.startswith("127.") else None
    app.add_middleware(Access, database=database, hosts=hosts)
    return app


@probes.get("/livez")
def live() -> Response:
    return json_answer({"live": True})


@probes.get("/readyz")
def ready(here: Here) -> Response:
    try:
        here.database.one("SELECT 1 FROM version LIMIT 1")
    except (Unavailable, sqlite3.Error) as error:
        return refusal("/readyz", 503, "Not ready", f"the database cannot be read: {error}")
    return json_answer({"ready": True})


@probes.get("/metrics")
def metrics(here: Here) -> Response:
    return Response(exposition.exposition(here.database), media_type=exposition.CONTENT_TYPE)


def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FlyballError)
    return refusal_of(request.url.path, error)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    answer = refusal(request.url.path, error.status_code, title, f"{request.method} {request.url.path}: {error.detail}")
    answer.headers.update(error.headers or {})
    return answer


def _invalid(request: Request, error: Exception) -> Response:
    """Names what is wrong and where, never the input itself."""
    assert isinstance(error, RequestValidationError)
    errors = [{"loc": ".".join(map(str, item["loc"])), "msg": str(item["msg"])} for item in error.errors()]
    detail = "; ".join(f"{item['loc']}: {item['msg']}" for item in errors)
    return refusal(request.url.path, 422, "Cannot be understood", detail, errors)

"""Records into answers: pages from templates, JSON, and what cannot be answered as problem+json or a page (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from flyball.dashboard import charts, words
from flyball.errors import Conflict, FlyballError, Mistake, NotFound, NotYet, Refused, Unavailable

_templates = Environment(
    loader=PackageLoader("flyball.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "metric_name": words.metric_name,
    "verdict_name": words.verdict_name,
    "figure": words.figure,
    "signed": words.signed,
    "ms": words.milliseconds,
    "count": words.count,
    "when": words.when,
    "day": words.day,
    "subject": words.subject,
    "pretty": lambda value: orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode(),
}
_templates.globals |= {
    "interval": words.interval,
    "sparkline": charts.sparkline,
    "metric_chart": charts.metric_chart,
    "drift_chart": charts.drift_chart,
}

#: what programs ask: their errors are problem+json.
_FOR_PROGRAMS = ("/api", "/metrics", "/livez", "/readyz")

_STATUS: tuple[tuple[type[FlyballError], int], ...] = (
    (NotFound, 404),
    (NotYet, 501),
    (Mistake, 422),
    (Conflict, 409),
    (Refused, 409),
    (Unavailable, 503),
    (FlyballError, 500),
)


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template, everything in it escaped."""
    return HTMLResponse(_templates.get_template(template).render(values), status)


def json_answer(value: Any, status: int = 200) -> Response:
    """Records as JSON; times RFC 3339; NaN is null."""
    content = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status, media_type="application/json")


def refusal(path: str, status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None) -> Response:
    """What cannot be answered, in the asker's form."""
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    if not path.startswith(_FOR_PROGRAMS):
        answer: Response = page("message.html", status=status, code=status, title=title, detail=detail)
    else:
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": errors or []}
        answer = Response(orjson.dumps(problem), status, media_type="application/problem+json")
    answer.headers.update(headers or {})
    return answer


def refusal_of(path: str, error: FlyballError) -> Response:
    """A domain error, which knows no HTTP, as an answer."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return refusal(path, status, HTTPStatus(status).phrase, str(error))

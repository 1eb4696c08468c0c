"""Tokens at a live server that other machines could reach."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
import pytest

from flyball.registry.tokens import create_token, revoke_token
from flyball.serving.sockets import bind, is_local
from flyball.store import open_database

NOW = datetime(2013, 7, 1, tzinfo=UTC)
ROWS = {"inputs": [{"hour": 18.0, "distance": 760.5}]}
OUTCOMES = {"outcomes": [{"key": "a", "value": 1}]}


class Asked:
    """A server and its tokens."""

    def __init__(self, server: Any, eventually: Callable[..., Any]) -> None:
        self.server = server
        self.database = open_database(server.installed.home)
        self.eventually = eventually
        self.numbers = count(1)

    def page(self, path: str, token: str | None) -> tuple[int, bytes]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        status, _, body = self.server.request("GET", path, headers=headers)
        return status, body

    def token(self, *scopes: str, model: str | None = None) -> str:
        """One that workers know: `t1`, then `t2`."""
        made = create_token(self.database, f"t{next(self.numbers)}", "client", NOW, scopes=scopes, model=model)
        route = "predict" if "predict" in scopes else "outcomes"
        self.eventually(lambda: self.status(route, made) != 401, "workers know the token")
        return made

    def status(self, route: str, token: str | None, chunked: bool = False) -> int:
        body = orjson.dumps(ROWS if route == "predict" else OUTCOMES)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection = self.server.connection()
        try:
            path = f"/models/delay/{route}"
            connection.request("POST", path, iter([body]) if chunked else body, headers, encode_chunked=chunked)
            with connection.getresponse() as reply:
                reply.read()
                return int(reply.status)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def public(serve_once: Any, eventually: Any) -> Asked:
    """One for all tests that leave it as it is."""
    return Asked(serve_once(public=True), eventually)


@pytest.fixture
def own(serve: Any, eventually: Any) -> Asked:
    """One that the test may break."""
    return Asked(serve(public=True), eventually)


@pytest.mark.parametrize("chunked", [False, True])
def test_both_ways_ask_for_a_token_of_the_scope(public: Asked, chunked: bool) -> None:
    """The short way for small requests lets in whom the ordinary one lets in, and nobody besides."""
    predict, outcomes = public.token("predict"), public.token("outcomes")
    other = public.token("predict", model="churn")
    for token, statuses in {None: (401, 401), predict: (200, 403), outcomes: (403, 202), other: (403, 403)}.items():
        assert tuple(public.status(route, token, chunked) for route in ("predict", "outcomes")) == statuses


@pytest.mark.parametrize(
    "path", ["/v2/models/delay/infer", "/v1/models/delay:predict", "/invocations", "/models/delay/predict?x=1"]
)
def test_every_protocol_asks(public: Asked, path: str) -> None:
    """No way round by another address."""
    status, headers, _ = public.server.request("POST", path, ROWS)
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="flyball"')


def test_a_revoked_token_stops_working_on_connections_that_are_open(own: Asked) -> None:
    """A request head that was seen before is no pass."""
    token = own.token("predict")
    connection = own.server.connection()

    def status() -> int:
        connection.request("POST", "/models/delay/predict", orjson.dumps(ROWS), {"Authorization": f"Bearer {token}"})
        with connection.getresponse() as reply:
            reply.read()
            return int(reply.status)

    assert [status() for _ in range(3)] == [200] * 3
    revoke_token(own.database, "t1", NOW)
    own.eventually(lambda: status() == 401, "it is revoked")
    connection.close()


def test_tokens_work_after_a_restart_without_the_database(own: Asked, eventually: Any) -> None:
    """Digests are kept beside the deployments."""
    token = own.token("predict")
    own.database.close()
    for path in own.server.installed.home.path.glob("flyball.db*"):
        path.unlink()
    os.kill(own.server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(own.server.pids()) == 2 and own.server.ready(), "a new worker is ready")
    assert (own.status("predict", token), own.status("predict", None)) == (200, 401)


PROBES = (
    *("/livez", "/readyz", "/metrics", "/ping", "/health", "/version", "/docs", "/v1/models", "/v1/models/delay"),
    *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/delay/ready", "/execution-parameters"),
)
#: what tells of a model's inside: a feature's name, a range or a level seen, where its files lie.
INSIDE = (b"hour", b"distance", b"760.5", b"runs/", b"/home")


@pytest.mark.parametrize("path", PROBES)
def test_probes_need_no_token(public: Asked, path: str) -> None:
    """A load balancer has none; it is shown names, versions and states."""
    status, _, body = public.server.request("GET", path)
    assert status == 200
    assert [word for word in INSIDE if word in body] == []


@pytest.mark.parametrize("path", ["/v2/models/delay", "/v2/models/delay/versions/1", "/v1/models/delay/metadata"])
def test_a_models_own_page_asks_as_its_predictions_do(public: Asked, path: str) -> None:
    """401 without, 403 with one for another model, and then it shows the features."""
    token = public.token("predict")
    other = public.token("outcomes")
    status, headers, body = public.server.request("GET", path)
    assert (status, headers["www-authenticate"], b"hour" in body) == (401, 'Bearer realm="flyball"', False)
    assert public.page(path, other)[0] == 403
    assert (public.page(path, token)[0], b"hour" in public.page(path, token)[1]) == (200, True)


@pytest.mark.parametrize("path", ["/models", "/openapi.json"])
def test_lists_leave_out_what_a_token_does_not_open(public: Asked, path: str) -> None:
    """No token, or one for something else: the model is not described."""
    token = public.token("predict")
    other = public.token("outcomes")
    for shown, told in (
        (public.page(path, None), False),
        (public.page(path, other), False),
        (public.page(path, token), True),
    ):
        assert shown[0] == 200
        assert (b"hour" in shown[1]) is told
    assert orjson.loads(public.page("/openapi.json", None)[1])["x-models-hidden"] == ["delay"]
    assert "x-models-hidden" not in orjson.loads(public.page("/openapi.json", token)[1])


def test_what_is_not_as_it_should_be_is_told_without_reasons(own: Asked, installed: Any, eventually: Any) -> None:
    """Reasons name files; they stand in the log."""
    (installed.home.runs / "bundle" / "model.onnx").write_bytes(b"torn")
    os.kill(own.server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(own.server.alive()) == 1 and own.status("predict", None) == 503, "it cannot be loaded")
    for method, path in (("GET", "/readyz"), ("POST", "/models/delay/predict"), ("GET", "/v2/models/delay")):
        status, _, body = own.server.request(method, path, {} if method == "POST" else None)
        assert status == 503
        assert b"delay: v1 cannot be loaded, the model cannot answer: the server's log says why" in body
        assert b"runs" not in body


def test_a_project_that_asks_on_loopback_hides_its_inside_too(serve: Any, installed: Any) -> None:
    """`[serving] auth = "token"` behind a proxy."""
    server = serve(auth=(("delay", "token"),))
    assert [server.request("GET", path)[0] for path in ("/v2/models/delay", "/readyz")] == [401, 200]
    assert orjson.loads(server.request("GET", "/models")[2]) == {"models": []}


def test_a_project_may_open_its_predictions_never_its_outcomes(serve: Any, installed: Any, eventually: Any) -> None:
    """`[serving] auth = "none"` on an address that others can reach."""
    asked = Asked(serve(public=True, auth=(("delay", "none"),)), eventually)
    assert (asked.status("predict", None), asked.status("outcomes", None)) == (200, 401)


def test_a_project_behind_a_proxy_may_ask_on_loopback(serve: Any, installed: Any, eventually: Any) -> None:
    """`[serving] auth = "token"`."""
    asked = Asked(serve(auth=(("delay", "token"),)), eventually)
    assert (asked.status("predict", None), asked.status("outcomes", None)) == (401, 401)


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_an_address_tells_whether_others_can_reach_it(host: str, local: bool) -> None:
    """What workers go by."""
    with bind(host, 0) as listening:
        assert is_local(listening) is local


def test_no_token_is_written_anywhere(public: Asked) -> None:
    """Not in the home, where the journal, refusals and digests lie."""
    token = public.token("predict")
    assert public.status("outcomes", token) == 403
    assert public.status("predict", token) == 200
    found = [path for path in public.server.installed.home.path.rglob("*") if path.is_file()]
    assert [path for path in found if token.encode() in path.read_bytes()] == []

"""Tokens at a live server that other machines could reach."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
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

    def __init__(self, server: Any, home: Any, eventually: Callable[..., Any]) -> None:
        self.server = server
        self.database = open_database(home)
        self.eventually = eventually

    def token(self, name: str, *scopes: str, model: str | None = None) -> str:
        """One that workers know."""
        made = create_token(self.database, name, "client", NOW, scopes=scopes, model=model)
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


@pytest.fixture
def public(serve: Any, installed: Any, eventually: Any) -> Asked:
    return Asked(serve(public=True), installed.home, eventually)


@pytest.mark.parametrize("chunked", [False, True])
def test_both_ways_ask_for_a_token_of_the_scope(public: Asked, chunked: bool) -> None:
    """The short way for small requests lets in whom the ordinary one lets in, and nobody besides."""
    predict, outcomes = public.token("asks", "predict"), public.token("tells", "outcomes")
    other = create_token(public.database, "other", "client", NOW, scopes=["predict"], model="churn")
    public.eventually(lambda: public.status("predict", other) == 403, "workers know it")
    for token, statuses in {None: (401, 401), predict: (200, 403), outcomes: (403, 202), other: (403, 403)}.items():
        assert tuple(public.status(route, token, chunked) for route in ("predict", "outcomes")) == statuses


@pytest.mark.parametrize(
    "path", ["/v2/models/delay/infer", "/v1/models/delay:predict", "/invocations", "/models/delay/predict?x=1"]
)
def test_every_protocol_asks(public: Asked, path: str) -> None:
    """No way round by another address."""
    status, headers, _ = public.server.request("POST", path, ROWS)
    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="flyball"')


def test_a_revoked_token_stops_working_on_connections_that_are_open(public: Asked) -> None:
    """A request head that was seen before is no pass."""
    token = public.token("asks", "predict")
    connection = public.server.connection()

    def status() -> int:
        connection.request("POST", "/models/delay/predict", orjson.dumps(ROWS), {"Authorization": f"Bearer {token}"})
        with connection.getresponse() as reply:
            reply.read()
            return int(reply.status)

    assert [status() for _ in range(3)] == [200] * 3
    revoke_token(public.database, "asks", NOW)
    public.eventually(lambda: status() == 401, "it is revoked")
    connection.close()


def test_tokens_work_after_a_restart_without_the_database(public: Asked, eventually: Any) -> None:
    """Digests are kept beside the deployments."""
    token = public.token("asks", "predict")
    public.database.close()
    for path in public.server.installed.home.path.glob("flyball.db*"):
        path.unlink()
    os.kill(public.server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(public.server.pids()) == 2 and public.server.ready(), "a new worker is ready")
    assert (public.status("predict", token), public.status("predict", None)) == (200, 401)


def test_probes_need_no_token(public: Asked) -> None:
    """A load balancer has none."""
    assert [public.server.request("GET", path)[0] for path in ("/livez", "/readyz", "/metrics")] == [200] * 3


def test_a_project_may_open_its_predictions_never_its_outcomes(serve: Any, installed: Any, eventually: Any) -> None:
    """`[serving] auth = "none"` on an address that others can reach."""
    asked = Asked(serve(public=True, auth=(("delay", "none"),)), installed.home, eventually)
    assert (asked.status("predict", None), asked.status("outcomes", None)) == (200, 401)


def test_a_project_behind_a_proxy_may_ask_on_loopback(serve: Any, installed: Any, eventually: Any) -> None:
    """`[serving] auth = "token"`."""
    asked = Asked(serve(auth=(("delay", "token"),)), installed.home, eventually)
    assert (asked.status("predict", None), asked.status("outcomes", None)) == (401, 401)


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_an_address_tells_whether_others_can_reach_it(host: str, local: bool) -> None:
    """What workers go by."""
    with bind(host, 0) as listening:
        assert is_local(listening) is local


def test_no_token_is_written_anywhere(public: Asked) -> None:
    """Not in the home, where the journal, refusals and digests lie."""
    token = public.token("asks", "predict")
    assert public.status("outcomes", token) == 403
    assert public.status("predict", token) == 200
    found = [path for path in public.server.installed.home.path.rglob("*") if path.is_file()]
    assert [path for path in found if token.encode() in path.read_bytes()] == []

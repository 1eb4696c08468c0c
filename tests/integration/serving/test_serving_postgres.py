"""Workers that follow deployments and tokens in a PostgreSQL database, and outlive it."""

from __future__ import annotations

import os
import signal
from typing import Any

import orjson
import pytest

from flyball.registry.tokens import create_token
from flyball.store import open_database, utcnow
from flyball.store.database import DATABASE_URL
from tests.integration.postgres import Server


@pytest.mark.slow
def test_workers_follow_a_server_and_outlive_it(
    serve: Any, installed: Any, eventually: Any, own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promotions reach them; without the server they answer, a restarted one from disk; with it they follow again."""
    installed.environ = {DATABASE_URL: own.new_database()}
    monkeypatch.setenv(DATABASE_URL, installed.environ[DATABASE_URL])
    for path in installed.home.path.glob("flyball.db*"):
        path.unlink()
    installed.deploy(7)
    server = serve(workers=1)
    assert server.predict()["version"] == 7
    installed.deploy(8)
    eventually(lambda: server.predict()["version"] == 8, "the promotion is served")

    def degraded() -> list[str]:
        found: list[str] = orjson.loads(server.request("GET", "/readyz")[2])["degraded"]
        return found

    own.stop()
    eventually(degraded, "readiness tells that the database is away")
    assert "promotions wait" in degraded()[0]
    assert "secret" not in "".join(degraded())
    assert server.predict()["version"] == 8
    os.kill(server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(server.pids()) == 2 and server.ready(), "a new worker is ready")
    assert server.predict()["version"] == 8

    own.start()
    installed.deploy(9)
    eventually(lambda: server.predict()["version"] == 9, "promotions are followed again")
    assert degraded() == []
    assert not installed.home.database.exists()
    assert "secret" not in "".join(server.log)


def test_a_token_of_the_server_opens_a_worker(
    serve: Any, installed: Any, eventually: Any, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `flyball token create` writes there, workers know."""
    installed.environ = {DATABASE_URL: postgres.new_database()}
    monkeypatch.setenv(DATABASE_URL, installed.environ[DATABASE_URL])
    installed.deploy(1)
    database = open_database(installed.home, installed.environ)
    token = create_token(database, "app", "client", utcnow(), scopes=["predict"])
    database.close()
    server = serve(workers=1, auth=(("delay", "token"),))

    def asked(headers: dict[str, str]) -> int:
        body = {"inputs": [{"hour": 9.0, "distance": 700.0}]}
        status: int = server.request("POST", "/models/delay/predict", body, headers)[0]
        return status

    eventually(lambda: asked({"Authorization": f"Bearer {token}"}) == 200, "the token is known")
    assert asked({}) == 401

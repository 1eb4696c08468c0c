"""MLflow's aliases moved by a plain MLflow client: seen at the next beat, and put back or gated."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.loop.unaided import read
from flyball.registry import audit, live, names
from flyball.registry.aliases import moved, wanted
from flyball.rollout import move
from tests.integration.loop.conftest import START, aliases, settled

pytestmark = pytest.mark.slow  # training runs, one after another

HOUR = timedelta(hours=1)


@pytest.fixture
def two(site: Site) -> Site:
    """v2 is live, v1 archived, v3 was refused; MLflow says so."""
    quiet = settled(site, retrain={"mode": "off"})
    release.retrain(quiet, now=START + HOUR, why="another recipe", params={"columns": 2})
    release.retrain(quiet, now=START + 2 * HOUR, why="a mistake", params={"shuffle": True})
    tick(quiet, now=START + 3 * HOUR)
    assert aliases(quiet) == {"production": 2}
    return quiet


def set_alias(site: Site, alias: str, number: int | None) -> None:
    """By MLflow's own client, which knows nothing of Flyball."""
    from mlflow import MlflowClient  # takes a second to import

    client = MlflowClient(site.tracking_uri, site.tracking_uri)
    if number is None:
        client.delete_registered_model_alias("late", alias)
    else:
        client.set_registered_model_alias("late", alias, str(number))


def open_titles(site: Site) -> list[str]:
    return [item.title for item in alerts(site.database, open_only=True)]


def test_a_moved_alias_is_put_back_and_told(two: Site) -> None:
    """Within one beat; the alert ends at the next. What answers has not moved."""
    set_alias(two, "production", 1)
    set_alias(two, "shadow", 3)
    tick(two, now=START + 4 * HOUR)
    assert aliases(two) == {"production": 2}
    assert open_titles(two) == [
        "late: MLflow's alias production was moved to v1 outside Flyball; put back to v2; "
        "shadow was moved to v3 outside Flyball; put back to nothing"
    ]
    assert live.current(two.database, "late").live == 2  # type: ignore[union-attr]
    tick(two, now=START + 5 * HOUR)
    assert open_titles(two) == []


def test_an_alias_that_was_deleted_comes_back(two: Site) -> None:
    set_alias(two, "production", None)
    tick(two, now=START + 4 * HOUR)
    assert aliases(two) == {"production": 2}


def test_other_aliases_are_their_users_own(two: Site) -> None:
    """`best` is nobody's stage."""
    set_alias(two, "best", 1)
    tick(two, now=START + 4 * HOUR)
    assert aliases(two) == {"production": 2, "best": 1}
    assert open_titles(two) == []


def test_under_gate_a_wish_is_answered_by_the_kept_verdict(two: Site) -> None:
    """v1 had passed its gate and goes live; v3 had been refused and is put back."""
    gated = settled(two, gate={"moved_alias": "gate"})
    set_alias(gated, "production", 3)
    tick(gated, now=START + 4 * HOUR)
    assert open_titles(gated) == [
        "late: MLflow's alias production was moved to v3 outside Flyball; refused: its gate refused v3; put back to v2"
    ]
    set_alias(gated, "production", 1)
    tick(gated, now=START + 5 * HOUR)
    assert live.current(gated.database, "late").live == 1  # type: ignore[union-attr]
    assert aliases(gated) == {"production": 1}
    assert (audit.entries(gated.database)[0].who, audit.entries(gated.database)[0].act) == ("mlflow", "promote")


def test_under_gate_a_barred_version_stays_barred(two: Site) -> None:
    gated = settled(two, gate={"moved_alias": "gate"})
    move.rollback(gated.database, gated.home, "late", who="ada", why="it broke", now=START + 4 * HOUR)
    tick(gated, now=START + 5 * HOUR)
    set_alias(gated, "production", 2)
    tick(gated, now=START + 6 * HOUR)
    (title,) = open_titles(gated)
    assert "refused: v2 of late was barred by ada" in title
    assert aliases(gated) == {"production": 1}


@pytest.fixture
def registry() -> Iterator[str]:
    """A server that answers as MLflow's REST API does, to whoever has the token."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/api/2.0/mlflow/registered-models/get?name=late"
            allowed = self.headers.get("Authorization") == "Bearer secret"
            self.send_response(200 if known and allowed else 403)
            self.end_headers()
            found = [{"alias": "production", "version": "7"}]
            self.wfile.write(orjson.dumps({"registered_model": {"name": "late", "aliases": found}}))

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_aliases_are_read_over_rest_too(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MLflow's own credentials; what cannot be read is unknown, not empty."""
    assert read(registry, "late") is None
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    assert read(registry, "late") == {"production": 7}
    assert read("postgresql://nowhere/db", "late") is None
    assert read("sqlite:////nowhere/mlflow.db", "late") is None


def test_what_aliases_should_say() -> None:
    """The newest of a stage; stages that are no alias are left out."""
    assert wanted({1: "archived", 2: "production", 3: "staging", 4: "staging", 5: "none"}) == {
        "production": 2,
        "staging": 4,
    }
    assert moved({"production": 2, "staging": 4}, {"production": 2, "best": 1}) == {"staging": (4, None)}
    assert wanted({2: "production"}, {"best": 1}) == {"production": 2, "best": 1}
    assert moved({"best": 1}, {"best": 2, "old": 1, "theirs": 3}, ["old"]) == {"best": (1, 2), "old": (None, 1)}


def give(site: Site, name: str, number: int) -> None:
    with site.database.write() as tx:
        names.set_alias(tx, model="late", name=name, version=number, who="ada", why="audited", now=START)


def test_a_free_alias_is_seen_by_a_plain_mlflow_client(two: Site) -> None:
    """At the next beat, beside the stages; moved and deleted here, it is so there; one of the users' own is left alone."""
    from mlflow import MlflowClient  # takes a second to import

    set_alias(two, "theirs", 3)
    give(two, "best", 1)
    tick(two, now=START + 4 * HOUR)
    client = MlflowClient(two.tracking_uri, two.tracking_uri)
    assert int(client.get_model_version_by_alias("late", "best").version) == 1
    give(two, "best", 2)
    tick(two, now=START + 5 * HOUR)
    assert aliases(two) == {"production": 2, "best": 2, "theirs": 3}
    with two.database.write() as tx:
        names.delete_alias(tx, model="late", name="best", who="ada", why="no more", now=START)
    tick(two, now=START + 6 * HOUR)
    assert aliases(two) == {"production": 2, "theirs": 3}
    assert open_titles(two) == []


def test_a_free_alias_moved_outside_is_put_back_and_told(two: Site) -> None:
    """Whether it was moved or deleted there; and what is live does not move, under `moved_alias = "gate"` either."""
    gated = settled(two, gate={"moved_alias": "gate"})
    give(gated, "best", 1)
    give(gated, "audited", 1)
    tick(gated, now=START + 4 * HOUR)
    set_alias(gated, "best", 3)
    set_alias(gated, "audited", None)
    tick(gated, now=START + 5 * HOUR)
    assert open_titles(gated) == [
        "late: MLflow's alias audited was moved to nothing outside Flyball; put back to v1; "
        "best was moved to v3 outside Flyball; put back to v1"
    ]
    assert aliases(gated) == {"production": 2, "best": 1, "audited": 1}
    assert live.current(gated.database, "late").live == 2  # type: ignore[union-attr]


def test_an_alias_deleted_here_and_set_there_afterwards_is_its_users(two: Site) -> None:
    """Once MLflow was told of the deletion the name is free."""
    give(two, "best", 1)
    tick(two, now=START + 4 * HOUR)
    with two.database.write() as tx:
        names.delete_alias(tx, model="late", name="best", who="ada", why="no more", now=START)
    tick(two, now=START + 5 * HOUR)
    set_alias(two, "best", 3)
    tick(two, now=START + 6 * HOUR)
    assert aliases(two) == {"production": 2, "best": 3}
    assert open_titles(two) == []

"""What is loaded, what is kept on disk, and what goes on answering when something is broken."""

from __future__ import annotations

from typing import Any

import orjson

from flyball.serving.models import kept_path, read_kept
from flyball.serving.turn import Small
from flyball.serving.watch import Watch
from flyball.store import open_database

ROW = {"hour": 18.0, "distance": 760.5}
PATH = "/models/delay/predict"


def version(client: Any) -> int:
    return int(client.post(PATH, {"inputs": [ROW]}).json()["version"])


def test_a_promotion_is_served_after_the_next_look(installed: Any, client: Any) -> None:
    """The new version answers, under its own name and generation."""
    assert version(client) == 1
    installed.deploy("delay", 2)
    client.look()
    assert version(client) == 2
    assert client.get("/readyz").json()["models"]["delay"] == {"version": 2, "generation": 2}


def test_a_look_at_an_unchanged_database_changes_nothing(client: Any) -> None:
    """No new roster, so no switch."""
    before = client.watch.roster
    assert client.watch.look() is False
    assert client.watch.roster is before


def test_a_version_in_memory_is_not_loaded_again(installed: Any, client: Any) -> None:
    """A change of shadows keeps the live engine itself."""
    engine = client.watch.roster.models["delay"].engines[1]
    installed.deploy("delay", 1, shadow=(2,))
    client.look()
    assert client.watch.roster.models["delay"].engines[1] is engine
    assert set(client.watch.roster.models["delay"].engines) == {1, 2}


def test_a_broken_bundle_leaves_the_last_good_version_answering(installed: Any, client: Any) -> None:
    """The promotion is refused by the worker, which says so and goes on."""
    (installed.own("delay-2") / "model.onnx").write_bytes(b"torn")
    installed.deploy("delay", 2)
    client.look()
    ready = client.get("/readyz")
    assert (version(client), ready.status) == (1, 200)
    assert "v2 cannot be loaded, v1 goes on answering" in ready.json()["degraded"][0]


def test_a_restart_with_a_broken_bundle_serves_the_kept_version(installed: Any, client: Any, start: Any) -> None:
    """The last good deployment is read from disk."""
    (installed.own("delay-2") / "model.onnx").write_bytes(b"torn")
    installed.deploy("delay", 2)
    client.look()
    assert version(start()) == 1


def test_a_shadow_that_cannot_be_loaded_costs_no_answer(installed: Any, client: Any) -> None:
    """Live is served; the roster says what is missing."""
    (installed.own("delay-2") / "model.onnx").unlink()
    installed.deploy("delay", 1, shadow=(2,))
    client.look()
    assert version(client) == 1
    assert "shadow v2 cannot be loaded" in client.get("/readyz").json()["degraded"][0]


def test_without_a_database_the_kept_deployments_are_served(installed: Any, client: Any, start: Any) -> None:
    """A restart needs the disk only; no empty database is made in its place."""
    for path in installed.home.path.glob("flyball.db*"):
        path.unlink()
    again = start()
    assert version(again) == 1
    assert "database cannot be read" in again.get("/readyz").json()["degraded"][0]
    assert not installed.home.database.exists()


def test_a_database_that_comes_back_is_followed_again(installed: Any, client: Any) -> None:
    """Degraded while it is away, and no longer than that."""
    away = installed.home.path / "away"
    installed.home.database.rename(away)
    client.look()
    assert client.get("/readyz").json()["degraded"] != []
    away.rename(installed.home.database)
    installed.deploy("delay", 2)
    client.look()
    assert (version(client), client.get("/readyz").json()["degraded"]) == (2, [])


def test_an_empty_database_does_not_unload_what_is_live(installed: Any, client: Any) -> None:
    """Histories only grow, so an empty one is another database."""
    for path in installed.home.path.glob("flyball.db*"):
        path.unlink()

    open_database(installed.home).close()
    client.look()
    assert version(client) == 1
    assert "no deployments" in client.get("/readyz").json()["degraded"][0]


def test_what_is_kept_is_what_is_served(installed: Any, client: Any) -> None:
    """The file holds the last good deployments; garbage in it is no deployment."""
    assert {name: item.live for name, item in read_kept(installed.home).items()} == {"delay": 1}
    kept_path(installed.home).write_bytes(b"{")
    assert read_kept(installed.home) == {}


def test_only_the_models_asked_for_are_served(installed: Any, start: Any) -> None:
    """`--model` leaves the others out, and keeps them for those who serve them."""
    installed.deploy("delay", 1)
    installed.deploy("price", 1)
    client = start(models=("price",))
    assert list(client.watch.roster.models) == ["price"]
    assert set(read_kept(installed.home)) == {"delay", "price"}


def test_two_watches_of_one_home_see_the_same(installed: Any, client: Any) -> None:
    """Every worker comes to the same roster by itself."""
    other = Watch(installed.home)
    try:
        assert {name: item.deployment for name, item in other.start().models.items()} == {
            name: item.deployment for name, item in client.watch.roster.models.items()
        }
    finally:
        other.close()


def test_shadows_score_the_same_rows_after_the_answer(installed: Any, start: Any) -> None:
    """Same ids, role shadow, the shadow's own prediction; the rows stand in the live answer's line, once."""
    installed.deploy("delay", 1, shadow=(2,))
    client = start()
    reply = client.post(PATH, {"inputs": [ROW, ROW], "key": "N1"})
    live, shadow = client.journal()
    assert (live["role"], live["version"], shadow["role"], shadow["version"]) == ("live", 1, "shadow", 2)
    assert shadow["ids"] == live["ids"] == reply.json()["ids"]
    assert (shadow["key"], shadow["timestamp"]) == (live["key"], live["timestamp"])
    assert (len(live["features"]), shadow["features"]) == (2, {})
    assert shadow["prediction"] != live["prediction"]
    assert client.metric('flyball_shadow_total{result="written"}') == 1.0
    assert client.metric('flyball_journal_records_total{result="written"}') == 2.0


class Nobody:
    """A connection whose answers nobody reads."""

    client = None

    def gone(self) -> bool:
        return False

    def closes(self) -> bool:
        return False

    def date(self) -> bytes:
        return b""

    def reply(self, content: bytes, *, close: bool) -> None:
        del content, close


def test_what_shadows_cannot_score_in_time_is_shed_and_counted(installed: Any, start: Any) -> None:
    """1,024 requests may wait; the next is not scored, and its answer is not held up."""
    installed.deploy("delay", 1, shadow=(2,))
    client = start()
    client.post(PATH, {"inputs": [ROW]})
    # Answers that leave while the shadows' task does not come to run.
    body = orjson.dumps({"inputs": [ROW]})
    small = Small(client.app.deployed.direct[PATH.encode()], {}, body, Nobody())
    for _ in range(1030):
        client.app.predicting.directly(small, close=False)
    client.get("/livez")
    assert client.metric('flyball_shadow_total{result="shed"}') == 6.0
    assert client.metric('flyball_shadow_total{result="written"}') == 1025.0

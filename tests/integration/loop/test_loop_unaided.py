"""MLflow's registry written and read without its library: what the library's own client then says, and what is left to it."""

from __future__ import annotations

import http.server
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from flyball.errors import Unavailable
from flyball.loop.site import Site
from flyball.loop.unaided import Told, is_known, opened, say
from flyball.loop.unaided_file import Unfamiliar
from tests.integration.loop.conftest import aliases

HEAD = "3:" + "ab" * 32

#: what MLflow's own client says, in a process that knows nothing of Flyball.
CLIENT = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
found = client.get_registered_model("late")
print(sorted((name, int(number)) for name, number in found.aliases.items()), found.tags["flyball.audit_head"])
print(client.get_model_version("late", "1").tags["flyball.stage"], client.get_model_version_by_alias("late", "best").version)
"""


def tell(site: Site, told: Told, *, timeout_s: float = 5) -> None:
    with opened(site.tracking_uri, "late", timeout_s=timeout_s, write=True) as registry:
        say(registry, "late", told)


def test_mlflows_own_client_reads_what_was_written(site: Site) -> None:
    """Aliases of stages and free ones, a version's stage, the audit's head; what is gone is gone; twice is once."""
    told = Told(stages={1: "staging"}, free={"best": 1, "old": 1}, head="1:" + "0" * 64)
    tell(site, told)
    for _ in range(2):
        tell(site, Told(stages={1: "archived"}, free={"best": 1}, deleted=("old", "never"), head=HEAD))
    argv = [sys.executable, "-W", "ignore", "-c", CLIENT, site.tracking_uri]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"[('best', 1)] {HEAD}", "archived 1"]
    with opened(site.tracking_uri, "late", timeout_s=5) as registry:
        assert (registry.aliases(), registry.tags(), registry.head()) == ({"best": 1}, {1: "archived"}, HEAD)


def test_what_mlflow_lacks_changes_nothing(site: Site) -> None:
    """A version that somebody deleted there: all or nothing."""
    with pytest.raises(Unavailable, match="MLflow has no version 7 of late"):
        tell(site, Told(stages={1: "archived", 7: "production"}, free={}))
    assert aliases(site) == {"production": 1}


def test_tables_of_another_form_are_left_to_the_library(site: Site) -> None:
    """A column more, as a later MLflow may have, and nothing is written; nor where there is no MLflow at all."""
    with closing(sqlite3.connect(site.home.mlflow / "mlflow.db")) as file, file:
        file.execute("ALTER TABLE registered_model_aliases ADD COLUMN since TEXT")
    with pytest.raises(Unfamiliar):
        tell(site, Told(stages={1: "staging"}, free={}))
    assert aliases(site) == {"production": 1}


def test_a_file_that_another_holds_is_waited_for_and_then_told(site: Site) -> None:
    """With its name; a file that is not there is none either."""
    with closing(sqlite3.connect(site.home.mlflow / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"mlflow\.db: database is locked"):
            tell(site, Told(stages={1: "staging"}, free={}), timeout_s=0.1)
    there = f"sqlite:///{site.home.path}/none.db"
    with pytest.raises(Unavailable, match=r"none\.db"), opened(there, "late", timeout_s=1, write=True):
        pass
    assert not Path(f"{site.home.path}/none.db").exists()


@pytest.mark.parametrize(
    ("uri", "environ", "known"),
    [
        ("sqlite:////home/mlflow.db", {}, True),
        ("sqlite:////home/mlflow.db?timeout=3", {}, False),
        ("postgresql://host/db", {}, False),
        ("databricks", {}, False),
        ("https://mlflow:5000", {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_URI": "https://mlflow:5000"}, True),
        ("https://mlflow:5000", {"MLFLOW_TRACKING_INSECURE_TLS": "true"}, False),
        ("https://mlflow:5000", {"MLFLOW_WORKSPACE": "team"}, False),
        ("https://ada:secret@mlflow:5000", {}, False),
    ],
)
def test_only_what_is_known_whole_is_done_here(uri: str, environ: dict[str, str], known: bool) -> None:
    """Another store, or a server whose client is told more than a token or a password, is its library's."""
    assert is_known(uri, environ) is known


def test_a_server_that_is_away_is_told_with_its_address() -> None:
    """Port 9 listens to nobody."""
    with (
        pytest.raises(Unavailable, match=r"^http://127\.0\.0\.1:9 cannot be reached \(.*refused"),
        opened("http://127.0.0.1:9", "late", timeout_s=1, write=True) as registry,
    ):
        say(registry, "late", Told(stages={}, free={}))


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """A listener with what MLflow's REST API answers of a model with three versions, two a page; and what it was told."""
    heard: list[tuple[str, str, dict[str, str]]] = []
    of = "/api/2.0/mlflow/"
    tagged = {"key": "flyball.stage", "value": "archived"}
    answers = {
        f"{of}registered-models/get?name=late": {
            "registered_model": {
                "name": "late",
                "aliases": [{"alias": "production", "version": "1"}, {"alias": "theirs", "version": "2"}],
                "tags": [{"key": "flyball.audit_head", "value": HEAD}],
            }
        },
        f"{of}model-versions/search?filter=name%3D%27late%27&max_results=10000": {
            "model_versions": [{"version": "3", "tags": [tagged]}, {"version": "2", "tags": []}],
            "next_page_token": "more",
        },
        f"{of}model-versions/search?filter=name%3D%27late%27&max_results=10000&page_token=more": {
            "model_versions": [{"version": "1", "tags": [tagged]}]
        },
    }

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write(orjson.dumps(found or {"error_code": "RESOURCE_DOES_NOT_EXIST"}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.command, self.path.removeprefix(of), orjson.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def do_DELETE(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_address[1]}", heard
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_a_server_is_told_what_it_does_not_say_already(
    server: tuple[str, list[tuple[str, str, dict[str, str]]]],
) -> None:
    """Versions are read page by page; others' aliases stay; of a model that it lacks only the library may know."""
    uri, heard = server
    told = Told(stages={1: "archived", 2: "archived", 3: "shadow"}, free={}, head=HEAD)
    with opened(uri, "late", timeout_s=5, write=True) as registry:
        say(registry, "late", told)
        assert registry.head() == HEAD
    assert heard == [
        ("DELETE", "registered-models/alias", {"name": "late", "alias": "production"}),
        ("POST", "registered-models/alias", {"name": "late", "alias": "shadow", "version": "3"}),
        (
            "POST",
            "model-versions/set-tag",
            {"name": "late", "version": "2", "key": "flyball.stage", "value": "archived"},
        ),
        ("POST", "model-versions/set-tag", {"name": "late", "version": "3", "key": "flyball.stage", "value": "shadow"}),
        ("POST", "registered-models/set-tag", {"name": "late", "key": "flyball.audit_head", "value": HEAD}),
    ]
    with pytest.raises(Unfamiliar), opened(uri, "other", timeout_s=5) as registry:
        registry.aliases()

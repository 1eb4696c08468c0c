"""The door, asked over real sockets: who passes with what, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from flyball.registry.audit import entries
from flyball.registry.tokens import create_token
from flyball.store import Home, open_database
from flyball.store.outbox import pending

NOW = datetime(2013, 7, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Door:
    """A server, and a token of each role."""

    server: object
    tokens: dict[str, str]

    def ask(self, path: str, *, role: str | None = None, method: str = "GET", body: str | None = None, **headers: str):
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return self.server.ask(path, method=method, body=body, **headers)

    def cookie(self, role: str) -> str:
        """What a browser keeps after it came with `?token=`."""
        return self.ask(f"/?token={self.tokens[role]}").headers["Set-Cookie"].partition(";")[0]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, bench: ModuleType) -> Iterator[Door]:
    home = Home(tmp_path_factory.mktemp("door"))
    database = open_database(home)
    bench.fill(home, database, "churn", days=40)
    tokens = {role: create_token(database, role, role, NOW) for role in ("viewer", "operator", "admin")}
    tokens["client"] = create_token(database, "client", "client", NOW, scopes=["predict"])
    tokens["churns"] = create_token(database, "churns", "viewer", NOW, model="churn")
    database.close()
    with bench.serving(home) as (server, _):
        yield Door(server, tokens)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/models/churn", "text/html; charset=utf-8"),
        ("/api/models", "application/problem+json"),
        ("/api/openapi.json", "application/problem+json"),
        ("/metrics", "application/problem+json"),
        ("/nowhere", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("credentials", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "flyball_0=x"}])
def test_nothing_is_shown_without_a_token(door: Door, path: str, kind: str, credentials: dict[str, str]) -> None:
    """401 for any path: a page for a person, problem+json for a program."""
    answer = door.ask(path, **credentials)
    assert (answer.status, answer.headers["Content-Type"]) == (401, kind)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "churn" not in answer.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/static/style.css"])
def test_probes_and_style_are_open(door: Door, path: str) -> None:
    """They tell nothing about models."""
    assert door.ask(path).status == 200


def test_static_files_are_no_way_out_of_their_folder(door: Door) -> None:
    """The open folder is style, script and icon."""
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fserver.py"):
        assert b"flyball" not in door.ask(path).body


@pytest.mark.parametrize(
    ("role", "method", "status"),
    [
        ("viewer", "GET", 200),
        ("operator", "GET", 200),
        ("admin", "GET", 200),
        ("viewer", "POST", 403),
        ("operator", "POST", 202),
        ("admin", "POST", 202),
    ],
)
def test_looking_needs_a_token_and_acting_an_operators(door: Door, role: str, method: str, status: int) -> None:
    """By bearer token."""
    path = "/api/models/churn" + ("/retrain" if method == "POST" else "")
    body = '{"why": "new fares"}' if method == "POST" else None
    assert door.ask(path, role=role, method=method, body=body, Content_Type="application/json").status == status


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address(door: Door) -> None:
    """One redirect; no script can read the cookie, no other site can send it."""
    answer = door.ask(f"/models/churn?days=3&token={door.tokens['viewer']}")
    assert (answer.status, answer.headers["Location"]) == (303, "/models/churn?days=3")
    attributes = answer.headers["Set-Cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert door.ask("/models/churn", Cookie=door.cookie("viewer")).status == 200


@pytest.mark.parametrize("path", ["//evil.example/x", "/%5Cevil.example", "/%2Fevil.example"])
def test_the_redirect_stays_here(door: Door, path: str) -> None:
    """`//host` and a backslash would lead elsewhere."""
    location = door.ask(f"{path}?token={door.tokens['viewer']}").headers["Location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_a_wrong_token_in_the_address_sets_no_cookie(door: Door) -> None:
    """401, and it is not repeated on the page."""
    answer = door.ask("/?token=wrong-token-value")
    assert (answer.status, answer.headers["Set-Cookie"]) == (401, None)
    assert "wrong-token-value" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, 303),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
def test_a_cookie_acts_only_for_the_dashboards_own_pages(door: Door, headers: dict[str, str], status: int) -> None:
    """Fetch metadata, or Origin from browsers that send none; neither is a refusal."""
    answer = door.ask(
        "/models/churn/retrain",
        method="POST",
        body="why=new+fares",
        Cookie=door.cookie("operator"),
        Content_Type="application/x-www-form-urlencoded",
        **headers,
    )
    assert answer.status == status


def test_an_origin_that_is_this_server_may_act(door: Door) -> None:
    """For a browser without fetch metadata."""
    host = f"localhost:{door.server.port}"
    answer = door.ask(
        "/models/churn/retrain",
        method="POST",
        body="why=x",
        Cookie=door.cookie("operator"),
        Origin=f"http://{host}",
        Host=host,
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/models/churn")


def test_a_viewers_cookie_may_not_act(door: Door) -> None:
    """The role decides, wherever the token came from."""
    cookie = door.cookie("viewer")
    answer = door.ask("/models/churn/retrain", method="POST", Cookie=cookie, Sec_Fetch_Site="same-origin")
    assert answer.status == 403
    assert "operator or admin" in answer.text


def test_a_viewer_is_not_offered_what_only_an_operator_may_do(door: Door) -> None:
    """No form on the viewer's page."""
    assert "<form" not in door.ask("/models/churn", role="viewer").text
    assert "Roll back" in door.ask("/models/churn", role="operator").text


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("[::1]", 200), ("evil.example", 421), ("", 421)])
def test_on_loopback_only_its_own_names_are_answered(door: Door, host: str, status: int) -> None:
    """A page of another site whose name was rebound to 127.0.0.1 still sends its own name."""
    assert door.ask("/api/models", role="viewer", Host=host).status == status


@pytest.mark.parametrize("path", ["/", "/api/models", "/nowhere", "/livez", "/static/style.css"])
def test_every_answer_carries_the_headers(door: Door, path: str) -> None:
    """No foreign script, no sniffing, no referrer, no copy kept."""
    headers = door.ask(path, role="viewer").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_a_retrain_asked_twice_with_one_key_is_one_request(door: Door) -> None:
    """The loop hears it once, and the audit names who asked."""
    asked = {"role": "operator", "method": "POST", "body": '{"why": "fares of July"}', "Idempotency_Key": "july"}
    first = door.ask("/api/models/churn/retrain", Content_Type="application/json", **asked)
    again = door.ask("/api/models/churn/retrain", Content_Type="application/json", **asked)
    assert first.json == again.json
    database = open_database(door.server.home)
    events = [item for item in pending(database) if item.payload.get("why") == "fares of July"]
    assert [(item.kind, item.payload["model"], item.payload["who"]) for item in events] == [
        ("retrain_requested", "churn", "operator")
    ]
    assert [item.who for item in entries(database) if item.why == "fares of July"] == ["operator"]
    database.close()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/models/nobody/retrain", '{"why": "x"}', 404),
        ("/api/models/churn/retrain", '{"why": " "}', 422),
        ("/api/models/churn/retrain", "{}", 422),
        ("/api/models/churn/retrain", "not json", 422),
        ("/api/models/churn/promote", '{"why": "x", "version": 99}', 404),
        ("/models/churn/explode", "why=x", 422),
        ("/models/churn/promote", "why=x&version=two", 422),
    ],
)
def test_an_act_that_cannot_be_done_says_why(door: Door, path: str, body: str, status: int) -> None:
    """Unknown model, no reason, no such version, no such act; nothing moves."""
    before = door.ask("/api/models/churn/history", role="viewer").json
    answer = door.ask(path, role="operator", method="POST", body=body, Content_Type="application/json")
    assert answer.status == status
    assert door.ask("/api/models/churn/history", role="viewer").json == before


def test_the_file_of_the_first_token_opens_the_door(door: Door) -> None:
    """Made by the server at its start."""
    token = Path(door.server.home.path / "token").read_text().strip()
    assert door.ask("/api/models", Authorization=f"Bearer {token}").status == 200


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("client", "/", 403),
        ("client", "/api/models/churn", 403),
        ("churns", "/models/churn", 200),
        ("churns", "/api/models/churn/versions", 200),
        ("churns", "/api/models/churnx", 403),
        ("churns", "/api/models", 403),
        ("churns", "/", 403),
    ],
)
def test_a_narrow_token_opens_no_more_than_it_says(door: Door, role: str, path: str, status: int) -> None:
    """A client's is for the data plane; a model's is for that model's pages."""
    assert door.ask(path, role=role).status == status

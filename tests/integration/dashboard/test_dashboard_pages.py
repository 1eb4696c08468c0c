"""The pages as a browser gets them: the API's numbers, escaped names, empty states, fast enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from flyball.dashboard.words import figure, interval
from flyball.registry.decisions import decide
from flyball.registry.projects import add_project
from flyball.store import Home, open_database

NOW = datetime(2013, 7, 1, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\" onload=\"y"


@dataclass(frozen=True)
class Visit:
    """A server, asked with the home's own token."""

    server: object

    def ask(self, path: str):
        token = (self.server.home.path / "token").read_text().strip()
        return self.server.ask(path, Authorization=f"Bearer {token}")


@pytest.fixture(scope="module")
def visit(lived: Home, bench: ModuleType) -> Iterator[Visit]:
    with bench.serving(lived, "--serve-url", "http://127.0.0.1:8080") as (server, _):
        yield Visit(server)


class Elements(HTMLParser):
    """Tags and their attributes, and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def links(self) -> set[str]:
        return {item["href"] or "" for tag, item in self.tags if tag == "a" and "href" in item}


@pytest.mark.parametrize("path", ["/", "/models/churn"])
def test_a_pages_numbers_are_the_apis(visit: Visit, path: str) -> None:
    """Metric, interval, rows and day are read once for both."""
    card = visit.ask("/api/models/churn").json
    newest, text = card["performance"]["newest"], visit.ask(path).text
    assert figure(newest["value"]) in text
    assert interval(newest["low"], newest["high"]) in text
    assert f"{newest['day']}" in text
    assert f"{card['traffic']['week_rows']:,}" in text


def test_every_link_leads_somewhere(visit: Visit) -> None:
    """All pages that can be reached from the fleet answer 200."""
    seen: set[str] = set()
    ahead = {"/"}
    while ahead:
        path = ahead.pop()
        seen.add(path)
        answer = visit.ask(path)
        assert answer.status == 200, path
        if answer.headers["Content-Type"].startswith("text/html"):
            ahead |= Elements(answer.text).links() - seen
    assert {"/models/churn", "/models/churn/versions/1", "/models/churn/decisions", "/api/docs", "/decisions/1"} <= seen


def test_a_version_made_of_a_fallback_says_so_on_its_page(visit: Visit) -> None:
    """With the run the step's result came from; the one before says nothing."""
    first, second = (visit.ask(f"/models/churn/versions/{number}").text for number in (1, 2))
    assert "<th>Degraded</th><td>weather from run run-churn-1 (2013-03-01): an earlier" in second
    assert "Degraded" not in first


def test_no_page_asks_another_host_or_carries_style_or_script_inline(visit: Visit) -> None:
    """What the content security policy forbids is not there to be forbidden."""
    for path in ("/", "/models/churn", "/models/churn/versions/2", "/decisions/1", "/api/docs"):
        for tag, attributes in Elements(visit.ask(path).text).tags:
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            assert tag != "style"
            address = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
            assert address is None or address.startswith("/static/")


def test_the_api_describes_itself(visit: Visit) -> None:
    """Every route of the contract, with the bearer scheme."""
    found = visit.ask("/api/openapi.json").json
    routes = {path.removeprefix("/api/models/{model}") for path in found["paths"]}
    assert {"/versions", "/versions/{number}", "/decisions", "/windows", "/metrics", "/history", "/at"} <= routes
    assert {"/retrain", "/promote", "/rollback", "/api/alerts", "/api/models"} <= routes
    assert found["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("/versions", {"number": 2, "stage": "production"}),
        ("/decisions?kind=gate", {"verdict": "refused"}),
        ("/windows?kind=drift&limit=1", {"day": "2013-04-09", "verdict": "steady"}),
        ("/history", {"version": 2, "until": None}),
    ],
)
def test_a_list_begins_with_what_it_says(visit: Visit, path: str, first: dict[str, object]) -> None:
    """Newest first, windows oldest first of the newest."""
    item = visit.ask(f"/api/models/churn{path}").json[0]
    assert {name: item[name] for name in first} == first


def test_at_answers_for_a_time(visit: Visit) -> None:
    """Before the first deployment nothing was live; a time that is none is the caller's mistake."""
    assert visit.ask("/api/models/churn/at?time=2013-03-15T00:00Z").json["live"] == 1
    assert visit.ask("/api/models/churn/at?time=2013-03-31T05:00:00+00:00").json["live"] == 2
    assert visit.ask("/api/models/churn/at?time=2013-01-01").status == 404
    assert visit.ask("/api/models/churn/at?time=yesterday").status == 422
    assert visit.ask("/api/models/churn/at?time=2999-01-01").status == 422  # nobody knows what will answer then
    assert visit.ask("/api/models/churn/at").status == 422


@pytest.mark.parametrize("path", ["/models/nobody", "/models/churn/versions/99", "/decisions/999999", "/nowhere"])
def test_what_is_not_there_is_a_page_that_says_so(visit: Visit, path: str) -> None:
    """404 as a page, and as problem+json for programs."""
    answer = visit.ask(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    program = visit.ask(f"/api{path}")
    assert (program.status, program.headers["Content-Type"]) == (404, "application/problem+json")
    assert program.json["status"] == 404


def test_a_limit_out_of_range_names_its_place(visit: Visit) -> None:
    """422 with the parameter, without the input."""
    answer = visit.ask("/api/models/churn/decisions?limit=0")
    assert answer.status == 422
    assert answer.json["errors"][0]["loc"] == "query.limit"


def test_hostile_names_and_reasons_are_shown_as_text(home: Home, tmp_path: Path, bench: ModuleType) -> None:
    """A model's name, a reason, evidence and an alert may come from anywhere."""
    database = open_database(home)
    bench.raise_alert(database, HOSTILE, title=HOSTILE)
    with database.write() as tx:
        add_project(tx, name=HOSTILE, directory=tmp_path, at=NOW)
        decide(
            tx,
            model=HOSTILE,
            at=NOW,
            kind="drift",
            subject=HOSTILE,
            verdict=HOSTILE,
            reason=HOSTILE,
            evidence={"features": [{"feature": HOSTILE, "verdict": HOSTILE, "why": HOSTILE, "statistics": {}}]},
            dedup="x",
        )
    database.close()
    with bench.serving(home) as (server, _):
        for path in ("/", "/decisions/1"):
            answer = Visit(server).ask(path)
            assert answer.status == 200
            assert "&lt;script&gt;" in answer.text
            tags = Elements(answer.text).tags
            assert [item.get("src") for tag, item in tags if tag == "script"] == ["/static/refresh.js"]
            assert not any("onload" in item for _, item in tags)


def test_an_empty_home_says_what_will_appear_and_how(home: Home, bench: ModuleType) -> None:
    """Two commands, no empty table."""
    with bench.serving(home) as (server, _):
        text = Visit(server).ask("/").text
        assert "flyball init" in text
        assert "<table" not in text
        assert Visit(server).ask("/api/models").json == {"models": [], "loop": None}


def test_fifty_models_of_ninety_days_are_one_page_in_under_a_second(home: Home, bench: ModuleType) -> None:
    """After the first visit, which reads the lake; the best of three, because the machine is shared."""
    database = open_database(home)
    for number in range(50):
        bench.fill(home, database, f"model-{number:02d}", days=90, seed=number, rows=50)
    database.close()
    with bench.serving(home) as (server, _):
        took = []
        for _ in range(4):
            began = time.monotonic()
            answer = Visit(server).ask("/")
            took.append(time.monotonic() - began)
        assert answer.text.count("<svg") == 50
        assert min(took[1:]) < 1.0

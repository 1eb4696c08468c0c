"""What the pages show, on a model that lived for 40 days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.dashboard import reads, view
from flyball.dashboard.traffic import traffic
from flyball.errors import NotFound
from flyball.journal.layout import PREDICTIONS, partition
from flyball.loop.leading import LEASE, LEASE_S
from flyball.registry.decisions import decide
from flyball.registry.live import current, deploy
from flyball.registry.projects import add_project
from flyball.registry.records import Deployment
from flyball.store import Database, Home, open_database
from flyball.store.lease import hold


@pytest.fixture
def past(lived: Home) -> Iterator[Database]:
    opened = open_database(lived)
    yield opened
    opened.close()


def test_a_card_says_what_is_live_since_when_and_why(lived: Home, past: Database) -> None:
    """v2 since the 31st day."""
    card = view.card(lived, past, "churn")
    assert (card.live, card.since, card.who) == (2, datetime(2013, 3, 31, 5, tzinfo=UTC), "flyball")
    assert card.label == "churn-20130331-d3f9a1c2-lgbm"
    assert card.why == "no worse than the champion on 1,812 paired answers"


def test_a_card_counts_live_answers_of_the_newest_day_and_its_week(lived: Home, past: Database) -> None:
    """900 a day; as many shadow rows are not answers."""
    found = view.card(lived, past, "churn").traffic
    assert found is not None
    assert (found.day, found.rows, found.week_rows) == (date(2013, 4, 9), 900, 6300)
    assert found.p50_ms == pytest.approx(2.0, abs=0.15)
    assert found.p99_ms == pytest.approx(2.98, abs=0.05)


def test_a_card_shows_the_newest_day_whose_outcomes_came_in(lived: Home, past: Database) -> None:
    """The last week's labels are missing, so its days are absent and not zero."""
    found = view.card(lived, past, "churn").performance
    assert found.newest is not None
    assert (found.metric, found.newest.day, found.newest.version) == ("auc", date(2013, 4, 2), 2)
    assert (found.newest.rows, found.newest.verdict) == (900, "kept")
    assert len(found.days) == 33


def test_a_card_shows_the_newest_drift_window_and_the_last_decision(lived: Home, past: Database) -> None:
    """A steady day after the new version; the refusal at noon of the last day."""
    card = view.card(lived, past, "churn")
    assert card.drift is not None
    assert (card.drift.day, card.drift.verdict, len(card.drift.features)) == (date(2013, 4, 9), "steady", 10)
    assert card.last_decision is not None
    assert (card.last_decision.kind, card.last_decision.verdict) == ("gate", "refused")
    assert [alert.severity for alert in card.alerts] == ["critical"]


def test_a_model_page_has_every_version_with_its_gate(lived: Home, past: Database) -> None:
    """Newest first, the stage from the live history."""
    page = view.model_page(lived, past, "churn")
    assert [(row.number, row.stage, row.reason) for row in page.versions] == [
        (2, "production", "drift"),
        (1, "archived", "first"),
    ]
    assert all(row.gate and row.gate.startswith("passed: AUC 0.694") for row in page.versions)
    assert [(item.version, item.until) for item in page.history] == [
        (2, None),
        (1, datetime(2013, 3, 31, 5, tzinfo=UTC)),
    ]
    assert [window.verdict for window in page.windows[24:31]] == ["steady", *["drift"] * 5, "steady"]


def test_a_version_page_has_the_gates_lines(lived: Home, past: Database) -> None:
    """Rule, difference with interval, passed."""
    page = view.version_page(lived, past, "churn", 2)
    assert [(line.rule, line.passed) for line in page.results] == [("auc > champion.auc", True), ("p99_ms <= 20", True)]
    assert page.contract is None
    assert [item.version for item in page.tenures] == [2]


def test_an_unknown_model_version_or_decision_names_what_there_is(lived: Home, past: Database) -> None:
    """Not found, with the mend."""
    with pytest.raises(NotFound, match="there is: churn"):
        view.model_page(lived, past, "chrun")
    with pytest.raises(NotFound, match="versions 1, 2"):
        view.version_page(lived, past, "churn", 9)
    with pytest.raises(NotFound, match="no decision 999"):
        reads.decision(past, 999)


def test_a_shadow_that_comes_does_not_restart_the_live_versions_time(home: Home, database: Database) -> None:
    """Since when v1 answers is when it went live."""
    start = datetime(2013, 3, 1, tzinfo=UTC)
    add(database, live=1, at=start)
    add(database, live=1, at=start + timedelta(days=9), shadow=(2,))
    history = reads.history(database, "churn")
    assert [(item.version, item.shadow, item.start.day) for item in history] == [(1, (2,), 10), (1, (), 1)]
    found = view.stay(history)
    assert found is not None
    assert found.start == start


def add(database: Database, *, live: int, at: datetime, shadow: tuple[int, ...] = ()) -> None:
    with database.write() as tx:
        before = current(tx, "churn")
        deployment = Deployment(
            model="churn", generation=0, live=live, bundles={live: ("b", "d")}, shadow=shadow, columns={}, at=at
        )
        deploy(tx, deployment, replaces=before.generation if before else None, who="ann", why="because")


def test_a_project_that_was_never_trained_has_a_card(home: Home, database: Database, tmp_path: Path) -> None:
    """Everything about it is absent, nothing is zero."""
    with database.write() as tx:
        add_project(tx, name="churn", directory=tmp_path, at=datetime(2013, 3, 1, tzinfo=UTC))
    (card,) = view.fleet(home, database).models
    assert (card.model, card.live, card.traffic, card.performance.newest, card.drift) == (
        "churn",
        None,
        None,
        None,
        None,
    )


def test_the_metric_that_the_project_names_comes_first(home: Home, database: Database, tmp_path: Path) -> None:
    """Declared in flyball.toml; without it, or unreadable, the first measured in the usual order."""
    with database.write() as tx:
        add_project(tx, name="churn", directory=tmp_path, at=datetime(2013, 3, 1, tzinfo=UTC))
        for metric in ("brier", "auc"):
            tx.run(
                "INSERT INTO metrics_daily (model, version, variant, date, metric, value, rows)"
                " VALUES ('churn', 1, 'live', '2013-03-01', :metric, 0.5, 10)",
                metric=metric,
            )
    assert reads.primary_metric(database, "churn") == "auc"
    (tmp_path / "flyball.toml").write_text('[model]\nprimary_metric = "brier"\n')
    assert reads.primary_metric(database, "churn") == "brier"
    (tmp_path / "flyball.toml").write_text("[model")
    assert reads.primary_metric(database, "churn") == "auc"


def test_a_day_counts_its_own_local_date(home: Home, database: Database) -> None:
    """A Berlin day starts at 22:00 UTC the evening before; its middle lies in it."""
    with database.write() as tx:
        tx.run(
            'INSERT INTO "window" (model, kind, start, ends, version, verdict, rows, recorded_at, evidence)'
            " VALUES ('churn', 'drift', '2013-06-30T22:00:00Z', '2013-07-01T22:00:00Z', 1, 'steady', 5, '', '{}')"
        )
    (window,) = reads.windows(database, "churn")
    assert window.day == date(2013, 7, 1)


def test_a_lake_that_grows_is_counted_anew(home: Home) -> None:
    """A remembered partition is known by its files and their sizes."""
    folder = partition(home, "predictions", "churn", "2013-07-01")
    folder.mkdir(parents=True)
    schema = pa.schema([PREDICTIONS.field(name) for name in ("role", "latency_ms")])
    for name, rows in (("b1", 2), ("b2", 3)):
        values = {"role": ["live"] * rows, "latency_ms": [None] * rows}
        pq.write_table(pa.table(values, schema=schema), folder / f"{name}.parquet")
        found = traffic(home, "churn")
        assert found is not None
        assert (found.rows, found.p50_ms) == ({"b1": 2, "b2": 5}[name], None)


@pytest.mark.parametrize("model", ["", "..", "../lake", "a/b", "nul\0"])
def test_a_name_that_is_no_folders_name_has_no_traffic(home: Home, model: str) -> None:
    """Names may come from an address bar."""
    assert traffic(home, model) is None


def test_the_loops_lease_says_when_it_was_renewed(database: Database) -> None:
    """The lease runs for as long as this room believes."""
    now = datetime(2013, 7, 1, tzinfo=UTC)
    assert reads.loop(database) is None
    hold(database, LEASE, "host:7", now=now, for_s=LEASE_S)
    found = reads.loop(database)
    assert found is not None
    assert (found.holder, found.renewed_at) == ("host:7", now)


def test_the_daily_word_that_all_is_well_does_not_drown_the_others(home: Home, database: Database) -> None:
    """A steady day is in the full list only; the last decision is the last to do or not to do something."""
    with database.write() as tx:
        for number, (kind, verdict) in enumerate([("retrain", "suggest"), ("drift", "drift"), ("drift", "steady")]):
            decide(
                tx,
                model="churn",
                at=datetime(2013, 3, 1 + number, tzinfo=UTC),
                kind=kind,
                subject=str(number),
                verdict=verdict,
                reason="",
                evidence={},
                dedup=str(number),
            )
    assert [item.verdict for item in reads.notable_decisions(database, "churn", limit=9)] == ["drift", "suggest"]
    last = reads.last_turn(database, "churn")
    assert last is not None
    assert (last.kind, last.verdict) == ("retrain", "suggest")

"""Watching a window: real journal, lake and database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyball.errors import Mistake
from flyball.journal.carry import carry
from flyball.journal.line import encode_outcomes, encode_predictions
from flyball.journal.segment import Segment
from flyball.monitor.answered import answered
from flyball.monitor.labelled import watch_performance
from flyball.monitor.question import Question
from flyball.monitor.watch import watch_drift
from flyball.project.records import MonitorSettings
from flyball.project.rules import parse_rule
from flyball.registry.decisions import decisions
from flyball.stats.fitting import fit_reference
from flyball.stats.profile import SCORE, Reference
from flyball.store import Database, Home, open_database, stamp

DAY = datetime(2013, 3, 1, 5, tzinfo=UTC)  # midnight in New York
WINDOW = (DAY, DAY + timedelta(days=1))
LATER = DAY + timedelta(days=3)
ROWS = 500

SETTINGS = MonitorSettings(window_s=86_400, label_delay_s=0, false_alarms_per_window=0.01, features=None)


class Site:
    """One home with answered requests."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home").made()
        self.database = open_database(self.home)
        self.rng = np.random.default_rng(5)

    def rows(self, shift: float = 0, n: int = ROWS) -> dict[str, Any]:
        """Two numbers and a category; temp moves by `shift`."""
        return {
            "temp": self.rng.normal(shift, 1, n).astype(np.float32),
            "wind": self.rng.normal(size=n).astype(np.float32),
            "origin": self.rng.choice(np.array(["JFK", "LGA"], dtype=object), n),
        }

    def reference(self) -> Reference:
        days = [self.rows() for _ in range(30)]
        columns = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
        columns[SCORE] = self.rng.random(30 * ROWS)
        kinds = dict.fromkeys(columns, "number") | {"origin": "category"}
        return fit_reference(columns, kinds, np.repeat(np.arange(30), ROWS))

    def answer(self, features: dict[str, Any], *, version: int = 1, score: Any = None, hour: int = 1) -> list[str]:
        """Journal one request and carry it to the lake; the rows' ids."""
        n = len(next(iter(features.values())))
        ids = [f"v{version}-{hour}-{index}" for index in range(n)]
        score = self.rng.random(n) if score is None else score
        at = stamp(DAY + timedelta(hours=hour))
        line = encode_predictions(
            model="flights",
            version=version,
            variant=f"v{version}",
            role="live",
            source="http",
            generation=version,
            request_id="r",
            ids=ids,
            timestamp=at,
            received_at=at,
            latency_ms=1,
            key=None,
            features=features,
            prediction=score,
            score=score,
        )
        self.carry(line)
        return ids

    def tell(self, ids: list[str], labels: Any) -> None:
        at = stamp(DAY + timedelta(days=2))
        told = [
            {"outcome_id": f"o-{id_}", "id": id_, "name": "label", "value": float(label), "timestamp": at}
            for id_, label in zip(ids, labels, strict=True)
        ]
        self.carry(encode_outcomes(model="flights", received_at=at, outcomes=told))

    def carry(self, line: bytes) -> None:
        segment = Segment(self.home.journal, "test")
        assert segment.append(line)
        segment.close()
        carry(self.home, self.database, now=LATER)

    def drift(self, reference: Reference, **changes: Any) -> Any:
        values = {"model": "flights", "version": 1, "reference": reference, "window": WINDOW, "settings": SETTINGS}
        return watch_drift(self.database, self.home, **{**values, "recorded_at": LATER, **changes})

    def performance(self, **changes: Any) -> Any:
        question = Question(model="flights", task="binary", confidence=0.95, rule=parse_rule("auc < 0.70"))
        values = {"window": WINDOW, "known_by": LATER, "recorded_at": LATER, **changes}
        (rows,) = answered(self.home, question, [values["window"]], values["known_by"])
        return watch_performance(self.database, self.home, question, rows, recorded_at=values["recorded_at"])

    def written(self) -> list[tuple[Any, ...]]:
        """Every row of the tables the monitor writes."""
        tables = ("window", "decision", "metrics_daily")
        return [tuple(row) for table in tables for row in self.database.all(f"SELECT * FROM {table}")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.database.close()


def only_window(database: Database) -> dict[str, Any]:
    (row,) = database.all('SELECT * FROM "window"')
    return dict(row)


def test_columns_that_are_in_no_reference_are_passed_over(site: Site) -> None:
    """Timestamps are kept in the lake, and not judged: each is new."""
    reference = site.reference()
    times = np.array([f"2013-03-01T{number % 24:02}:00:00.000000Z" for number in range(ROWS)], dtype=object)
    site.answer({**site.rows(), "asked": times})
    verdict = site.drift(reference)
    assert verdict.verdict == "steady"
    assert "asked" not in {feature.feature for feature in verdict.features}


def test_a_quiet_day_is_steady_and_written_down(site: Site) -> None:
    """One window, one decision that names the local date."""
    reference = site.reference()
    site.answer(site.rows())
    assert site.drift(reference).verdict == "steady"
    row = only_window(site.database)
    assert (row["kind"], row["verdict"], row["rows"], row["start"]) == ("drift", "steady", ROWS, stamp(DAY))
    (decision,) = decisions(site.database, "flights")
    assert (decision.subject, decision.verdict) == ("2013-03-01", "steady")
    assert decision.reason == "inputs as in training: 4 steady on 500 rows"


def test_a_moved_feature_is_named_in_the_decision(site: Site) -> None:
    """With how many stayed steady."""
    reference = site.reference()
    site.answer(site.rows(shift=1))
    assert site.drift(reference).alarming == ("temp",)
    (decision,) = decisions(site.database, "flights")
    assert decision.reason.startswith("temp (")
    assert decision.reason.endswith("; 3 steady")
    assert decision.evidence["alarming"] == ["temp"]


def test_a_day_without_rows_cannot_be_judged(site: Site) -> None:
    """An empty lake is no error and no 'steady'."""
    assert site.drift(site.reference()).verdict == "cannot_judge"
    assert only_window(site.database)["verdict"] == "cannot_judge"


def test_watching_a_window_twice_changes_nothing(site: Site) -> None:
    """A loop killed after the write repeats itself without a trace."""
    reference = site.reference()
    ids = site.answer(site.rows(shift=1))
    site.tell(ids, site.rng.integers(0, 2, ROWS))
    first = site.drift(reference), site.performance()
    before = site.written()
    again = LATER + timedelta(hours=1)
    assert (site.drift(reference, recorded_at=again).verdict, site.performance(recorded_at=again).verdict) == (
        first[0].verdict,
        first[1].verdict,
    )
    assert site.written() == before


def test_the_score_is_judged_on_the_versions_own_rows(site: Site) -> None:
    """Another version answered most of the day with other scores; features are judged on all rows."""
    reference = site.reference()
    site.answer(site.rows(), version=1)
    site.answer(site.rows(), version=2, score=np.full(ROWS, 0.99), hour=2)
    found = {item.feature: item.verdict for item in site.drift(reference).features}
    assert found == {"temp": "steady", "wind": "steady", "origin": "steady", SCORE: "steady"}


def test_columns_the_journal_does_not_keep_are_not_judged(site: Site) -> None:
    """wind is dropped, temp hashed, origin said to be hashed: no false alarm, and no verdict on them."""
    reference = site.reference()
    rows = site.rows()
    rows["temp"] = [f"{index:032x}" for index in range(ROWS)]
    rows["origin"] = ["a9" * 16] * ROWS
    del rows["wind"]
    site.answer(rows)
    found = site.drift(reference, withheld=("origin",))
    assert [item.feature for item in found.features] == [SCORE]


def test_an_unknown_feature_in_the_settings_is_refused(site: Site) -> None:
    """Not ignored: the name would be believed to be watched."""
    reference = site.reference()
    site.answer(site.rows())
    settings = MonitorSettings(window_s=86_400, label_delay_s=0, false_alarms_per_window=0.01, features=("tmp",))
    with pytest.raises(Mistake, match="'tmp' is not in the reference"):
        site.drift(reference, settings=settings)


def test_a_broken_promise_is_a_decision_with_its_metrics(site: Site) -> None:
    """Scores that know nothing: AUC about 0.5, certainly below 0.70."""
    ids = site.answer(site.rows())
    site.tell(ids, site.rng.integers(0, 2, ROWS))
    assert site.performance().verdict == "below"
    (decision,) = decisions(site.database, "flights", kind="performance")
    assert "beyond chance auc < 0.70" in decision.reason
    row = site.database.one("SELECT * FROM metrics_daily WHERE metric = 'auc'")
    assert row is not None
    assert (row["date"], row["version"], row["variant"], row["rows"]) == ("2013-03-01", 1, "v1", ROWS)
    assert row["low"] < row["value"] < row["high"] < 0.70


def test_a_kept_promise_needs_no_decision(site: Site) -> None:
    """Metrics and window alone."""
    score = site.rng.random(ROWS)
    ids = site.answer(site.rows(), score=score)
    site.tell(ids, score > site.rng.normal(0.5, 0.1, ROWS))
    assert site.performance().verdict == "kept"
    assert decisions(site.database, "flights") == []
    assert only_window(site.database)["verdict"] == "kept"


def test_outcomes_not_known_yet_do_not_count_and_count_once_they_are(site: Site) -> None:
    """The past can be replayed: the first look is immature, the second replaces it."""
    ids = site.answer(site.rows())
    site.tell(ids, site.rng.integers(0, 2, ROWS))
    assert site.performance(known_by=DAY + timedelta(days=1)).verdict == "immature"
    assert site.performance().verdict == "below"
    assert only_window(site.database)["verdict"] == "below"

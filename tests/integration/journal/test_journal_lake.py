"""Which outcome belongs to which prediction, read from a real lake."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from flyball.journal import lake
from flyball.journal.layout import NO_FEATURES, OUTCOMES, PREDICTIONS, TIME
from flyball.journal.relations import shared
from tests.integration.journal.conftest import DAY, hour

if TYPE_CHECKING:
    from flyball.store import Home

NEXT = DAY + timedelta(days=1)


def labels(home: Home, start: datetime = DAY, end: datetime = NEXT, **options: Any) -> dict[str, float | None]:
    table = lake.scored(home, "flights", start, end, **options)
    return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_an_empty_lake_is_empty_tables(home: Home) -> None:
    """Nothing carried yet: no rows, the right columns, no error."""
    assert lake.predictions(home, "flights", DAY, NEXT).schema.equals(PREDICTIONS)
    assert lake.shadow(home, "flights", DAY, NEXT).schema.equals(PREDICTIONS)
    assert lake.outcomes(home, "flights", DAY, NEXT).schema.equals(OUTCOMES)
    assert lake.answered_keys(home, "flights", DAY, NEXT) == set()
    assert lake.scored(home, "flights", DAY, NEXT, known_by=NEXT).schema == pa.schema(
        [
            ("id", pa.string()),
            ("timestamp", TIME),
            ("version", pa.int64()),
            ("variant", pa.string()),
            ("key", pa.string()),
            ("prediction", pa.float64()),
            ("score", pa.float64()),
            ("features", NO_FEATURES),
            ("label", pa.float64()),
            ("label_text", pa.string()),
            ("label_at", TIME),
        ]
    )


def test_a_window_is_half_open_in_event_time(journal: Any) -> None:
    """The first moment is in, the last is not."""
    for name, at in (("before", hour(-0.001)), ("first", DAY), ("last", hour(23.999)), ("after", NEXT)):
        journal.predict(name, at=at)
    journal.carry()
    assert lake.predictions(journal.home, "flights", DAY, NEXT)["id"].to_pylist() == ["first", "last"]


def test_live_and_shadow_are_told_apart(journal: Any) -> None:
    """`predictions` never shows what was not answered."""
    journal.predict("a")
    journal.predict("a", role="shadow", version=2)
    journal.predict("r", role="replay")
    journal.carry()
    assert lake.predictions(journal.home, "flights", DAY, NEXT)["version"].to_pylist() == [1]
    assert lake.shadow(journal.home, "flights", DAY, NEXT)["version"].to_pylist() == [2]


def test_models_do_not_mix(journal: Any) -> None:
    """One model's folder is one model's rows."""
    journal.predict("a")
    journal.predict("b", model="churn")
    journal.carry()
    assert lake.predictions(journal.home, "churn", DAY, NEXT)["id"].to_pylist() == ["b"]


def test_versions_with_other_features_read_as_one_table(journal: Any) -> None:
    """What a version did not have is null."""
    journal.predict("a")
    journal.carry()
    journal.predict("b", features={"y": ["u"]})
    journal.carry()
    assert lake.predictions(journal.home, "flights", DAY, NEXT)["features"].to_pylist() == [
        {"x": 1.0, "y": None},
        {"x": None, "y": "u"},
    ]


def test_an_outcome_by_id_finds_its_prediction(journal: Any) -> None:
    """The label, its text and its own time; null where nobody told."""
    journal.predict("a", "b")
    journal.tell({"id": "a", "value": 1, "timestamp": hour(30)})
    journal.carry()
    table = lake.scored(journal.home, "flights", DAY, NEXT)
    assert table.select(["id", "label", "label_text", "label_at"]).to_pylist() == [
        {"id": "a", "label": 1.0, "label_text": "1", "label_at": hour(30)},
        {"id": "b", "label": None, "label_text": None, "label_at": None},
    ]


def test_an_outcome_may_come_before_its_prediction(journal: Any) -> None:
    """Carried in an earlier batch, and still found."""
    journal.tell({"id": "a", "value": 1, "timestamp": hour(1)})
    journal.carry()
    journal.predict("a", at=hour(1))
    journal.carry()
    assert labels(journal.home) == {"a": 1.0}


def test_an_outcome_a_little_older_than_its_prediction_is_found(journal: Any) -> None:
    """Clocks differ: an outcome by id from the evening before counts."""
    journal.predict("a", at=hour(0.1))
    journal.tell({"id": "a", "value": 1, "timestamp": hour(-0.1)})
    journal.carry()
    assert labels(journal.home) == {"a": 1.0}


def test_an_outcome_without_a_time_counts_from_its_arrival(journal: Any) -> None:
    """`label_at` is then when it was received."""
    journal.predict("a")
    journal.tell({"id": "a", "value": 1}, received_at=hour(50))
    journal.carry()
    assert lake.scored(journal.home, "flights", DAY, NEXT)["label_at"].to_pylist() == [hour(50)]


def test_the_outcome_received_last_wins(journal: Any) -> None:
    """Told twice is one row; corrected is the correction, whatever the outcome's own time, in whatever order carried."""
    journal.predict("a", "b", "c")
    journal.tell({"id": "a", "value": 0, "timestamp": hour(5)}, received_at=hour(7))
    journal.carry()
    journal.tell({"id": "a", "value": 1, "timestamp": hour(6)}, received_at=hour(6))
    journal.tell({"id": "b", "value": 1}, {"id": "b", "value": 0}, received_at=hour(6))
    journal.tell({"id": "c", "value": 1}, received_at=hour(6))
    journal.tell({"id": "c", "value": None}, received_at=hour(7))
    journal.carry()
    assert labels(journal.home) == {"a": 0.0, "b": 0.0, "c": None}


def test_an_outcome_by_key_belongs_to_the_keys_latest_prediction_then(journal: Any) -> None:
    """Not to the one after the outcome, nor to the one before the latest."""
    journal.predict("early", at=hour(1), key=["UA1"])
    journal.predict("late", at=hour(3), key=["UA1"])
    journal.predict("other", at=hour(1), key=["UA2"])
    journal.tell({"key": "UA1", "value": 1, "timestamp": hour(2)}, {"key": "UA1", "value": 0, "timestamp": hour(4)})
    journal.carry()
    assert labels(journal.home) == {"early": 1.0, "late": 0.0, "other": None}


def test_an_outcome_at_the_very_moment_of_a_prediction_is_its_own(journal: Any) -> None:
    """The boundary counts."""
    journal.predict("a", at=hour(1), key=["UA1"])
    journal.tell({"key": "UA1", "value": 1, "timestamp": hour(1)})
    journal.carry()
    assert labels(journal.home) == {"a": 1.0}


def test_an_outcome_by_key_older_than_every_prediction_belongs_to_none(journal: Any) -> None:
    """It came true before anything was said."""
    journal.predict("a", at=hour(2), key=["UA1"])
    journal.tell({"key": "UA1", "value": 1, "timestamp": hour(1)})
    journal.carry()
    assert labels(journal.home) == {"a": None}


def test_a_later_prediction_outside_the_window_takes_the_keys_outcome(journal: Any) -> None:
    """Whose an outcome is does not depend on the window one looks through."""
    journal.predict("today", at=hour(1), key=["UA1"])
    journal.predict("tomorrow", at=hour(25), key=["UA1"])
    journal.tell({"key": "UA1", "value": 1, "timestamp": hour(30)})
    journal.carry()
    assert labels(journal.home) == {"today": None}
    assert labels(journal.home, NEXT, NEXT + timedelta(days=1)) == {"tomorrow": 1.0}


def test_a_keys_outcome_without_a_time_belongs_to_its_latest_prediction(journal: Any) -> None:
    """Even one that is answered after the outcome was carried."""
    journal.predict("today", at=hour(1), key=["UA1"])
    journal.tell({"key": "UA1", "value": 1}, received_at=hour(2))
    journal.carry()
    assert labels(journal.home) == {"today": 1.0}
    journal.predict("tomorrow", at=hour(25), key=["UA1"])
    journal.carry()
    assert labels(journal.home) == {"today": None}
    assert labels(journal.home, known_by=hour(3)) == {"today": 1.0}


def test_a_shadow_is_scored_by_its_live_predictions_outcome(journal: Any) -> None:
    """By id and by key, even where the shadow skipped the latest live prediction."""
    for name, at in (("a", hour(1)), ("b", hour(2))):
        journal.predict(name, at=at, key=["UA1"])
    journal.predict("c", at=hour(3))
    for name, at in (("a", hour(1)), ("c", hour(3))):
        journal.predict(name, at=at, key=["UA1"], role="shadow", version=2)
    journal.tell({"key": "UA1", "value": 1, "timestamp": hour(4)}, {"id": "c", "value": 0, "timestamp": hour(4)})
    journal.carry()
    assert labels(journal.home) == {"a": None, "b": 1.0, "c": 0.0}
    assert labels(journal.home, role="shadow") == {"a": None, "c": 0.0}


def test_what_came_true_later_is_not_known_yet(journal: Any) -> None:
    """`known_by` shows the past as it was; the moment itself is known."""
    journal.predict("a", "b", "c", at=hour(1))
    journal.tell({"id": "a", "value": 1, "timestamp": hour(2)}, {"id": "b", "value": 1, "timestamp": hour(40)})
    journal.tell({"id": "c", "value": 1}, received_at=hour(40))
    journal.carry()
    assert labels(journal.home, known_by=hour(2)) == {"a": 1.0, "b": None, "c": None}
    assert labels(journal.home, known_by=hour(1.9)) == {"a": None, "b": None, "c": None}
    assert labels(journal.home, known_by=hour(40)) == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_outcomes_are_joined_by_name(journal: Any) -> None:
    """A name is text, quotes and all; a text value has no number."""
    journal.predict("a")
    journal.tell({"id": "a", "value": 1})
    journal.tell({"id": "a", "value": "far", "name": "it's"})
    journal.carry()
    assert labels(journal.home) == {"a": 1.0}
    table = lake.scored(journal.home, "flights", DAY, NEXT, name="it's")
    assert table.select(["label", "label_text"]).to_pylist() == [{"label": None, "label_text": "far"}]


def test_classes_are_read_as_text(journal: Any) -> None:
    """A multiclass model's predictions and outcomes meet as text."""
    journal.predict("a", prediction=["late"])
    journal.tell({"id": "a", "value": "late"})
    journal.carry()
    table = lake.scored(journal.home, "flights", DAY, NEXT)
    assert table.select(["prediction", "label_text"]).to_pylist() == [{"prediction": "late", "label_text": "late"}]


def test_outcomes_are_listed_by_their_own_time(journal: Any) -> None:
    """Else by their arrival; the end is not included."""
    journal.tell({"id": "a", "value": 1, "timestamp": hour(1)}, {"id": "b", "value": 1}, received_at=hour(2))
    journal.tell({"id": "c", "value": 1, "timestamp": NEXT})
    journal.carry()
    assert lake.outcomes(journal.home, "flights", DAY, NEXT)["id"].to_pylist() == ["a", "b"]


def test_answered_keys_are_live_ones_of_the_window(journal: Any) -> None:
    """Each key once; rows without a key are nobody's."""
    journal.predict("a", "b", key=["UA1", None])
    journal.predict("c", key=["UA1"])
    journal.predict("d", key=["UA2"], role="shadow")
    journal.predict("e", key=["UA3"], at=NEXT)
    journal.carry()
    assert lake.answered_keys(journal.home, "flights", DAY, NEXT) == {"UA1"}


@pytest.mark.parametrize("carried", [False, True])
def test_the_views_are_there_with_and_without_rows(journal: Any, carried: bool) -> None:
    """`connect` gives plain SQL over predictions, shadow, outcomes and scored."""
    journal.predict("a")
    journal.predict("a", role="shadow", version=2)
    journal.tell({"id": "a", "value": 1})
    if carried:
        journal.carry()
    with lake.connect(journal.home, "flights") as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {view}").fetchone()[0]
            for view in ("predictions", "shadow", "outcomes", "scored")
        ]
        answered = connection.execute("SELECT id, label FROM scored").fetchall()
    assert counts == ([1, 1, 1, 1] if carried else [0, 0, 0, 0])
    assert answered == ([("a", 1.0)] if carried else [])


def test_a_draft_is_not_read(journal: Any) -> None:
    """A half-written file is invisible."""
    journal.predict("a")
    journal.carry()
    (folder,) = (journal.home.lake / "predictions" / "model=flights").iterdir()
    (folder / ".b9-00000000.parquet.draft").write_bytes(b"half")
    assert lake.predictions(journal.home, "flights", DAY, NEXT)["id"].to_pylist() == ["a"]


def test_a_keys_outcomes_are_joined_by_sorting(journal: Any) -> None:
    """However many there are: DuckDB would hold each against every prediction where it takes them for a few."""
    journal.predict("a", key=["k"])
    journal.tell({"key": "k", "value": 1})
    journal.carry()
    with closing(lake.connect(journal.home, "flights")) as connection:
        plan = "".join(row[1] for row in connection.execute("EXPLAIN SELECT label FROM scored").fetchall())
    said = plan.upper().replace(" ", "_")  # one version of DuckDB writes ASOF_JOIN, another Asof Join
    assert "ASOF_JOIN" in said
    assert "NESTED_LOOP" not in said


def test_every_session_has_the_settings() -> None:
    """A cursor is a session of its own."""
    with closing(shared(os.getpid()).cursor()) as cursor:
        for name, value in (("TimeZone", "UTC"), ("asof_loop_join_threshold", 0)):
            assert cursor.execute(f"SELECT current_setting('{name}')").fetchone() == (value,)

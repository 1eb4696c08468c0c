"""The lake of errors: refused and failed requests, carried exactly once, read by model and time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flyball.journal import lake
from flyball.journal.carry import TRANSITIONS
from flyball.journal.line import NO_MODEL, encode_error
from flyball.journal.parse import parse_line
from flyball.journal.refused import refused
from flyball.opened import open_home
from flyball.store import stamp
from tests.integration.journal.conftest import DAY

END = DAY + timedelta(days=2)


class Killed(Exception):
    """Stands for the death of the carrier."""


def refuse(journal: Any, identity: str, **changes: Any) -> None:
    values: dict[str, Any] = {
        "id": identity,
        "timestamp": stamp(DAY),
        "model": "flights",
        "version": 3,
        "status": 422,
        "reason": "contract",
        "columns": ["origin", "hour"],
        "caller": "10.0.0.7",
        "request_id": "r",
        "route": "/models/{model}/predict",
    }
    assert journal.segment.append(encode_error(**(values | changes)))


def test_a_refused_request_is_a_row(journal: Any) -> None:
    """Status, reason, columns, caller; the first column by itself."""
    refuse(journal, "e1")
    assert journal.carry().errors == 1
    assert lake.errors(journal.home, "flights", DAY, END).to_pylist() == [
        {
            "id": "e1",
            "timestamp": DAY,
            "model": "flights",
            "version": 3,
            "status": 422,
            "reason": "contract",
            "column": "origin",
            "columns": ["origin", "hour"],
            "caller": "10.0.0.7",
            "request_id": "r",
            "route": "/models/{model}/predict",
        }
    ]
    assert list((journal.home.lake / "errors" / "model=flights" / "date=2013-03-01").glob("*.parquet"))


def test_a_request_that_reached_no_model_lies_under_a_dash(journal: Any) -> None:
    """No model can be called so; version and column are null."""
    refuse(journal, "e1", model=NO_MODEL, version=None, columns=[], route="")
    journal.carry()
    (row,) = lake.errors(journal.home, NO_MODEL, DAY, END).to_pylist()
    assert (row["version"], row["column"], row["columns"]) == (None, None, [])
    assert lake.errors(journal.home, "flights", DAY, END).num_rows == 0


def test_the_window_is_half_open(journal: Any) -> None:
    """start <= timestamp < end."""
    for number in range(3):
        refuse(journal, f"e{number}", timestamp=stamp(DAY + timedelta(hours=number)))
    journal.carry()
    found = lake.errors(journal.home, "flights", DAY, DAY + timedelta(hours=2))
    assert found["id"].to_pylist() == ["e0", "e1"]


@pytest.mark.parametrize("point", [point for point in TRANSITIONS if not point.startswith("merg")])
def test_a_killed_carrier_brings_an_error_once(journal: Any, point: str) -> None:
    """Wherever it dies, the next one finishes, and nothing is there twice."""
    refuse(journal, "e1")
    journal.predict("p1")
    journal.segment.close()

    def die(reached: str) -> None:
        if reached == point:
            raise Killed

    with pytest.raises(Killed):
        journal.carry(checkpoint=die)
    journal.carry()
    assert lake.errors(journal.home, "flights", DAY, END)["id"].to_pylist() == ["e1"]


def test_many_small_files_of_errors_become_one(journal: Any) -> None:
    """Lists survive the merge."""
    for number in range(3):
        refuse(journal, f"e{number}", columns=["origin"] * number)
        journal.carry(small_files=3)
    folder = journal.home.lake / "errors" / "model=flights" / "date=2013-03-01"
    assert len(list(folder.glob("*.parquet"))) == 1
    found = lake.errors(journal.home, "flights", DAY, END)
    assert found["columns"].to_pylist() == [[], ["origin"], ["origin", "origin"]]


def test_the_view_has_the_models_own_and_those_that_reached_none(journal: Any) -> None:
    """Another model's stay away; empty with types where nothing was carried."""
    with lake.connect(journal.home, "flights") as connection:
        assert connection.execute("SELECT status, columns FROM errors").fetchall() == []
    for identity, model in (("e1", "flights"), ("e2", NO_MODEL), ("e3", "others")):
        refuse(journal, identity, model=model)
    journal.carry()
    with lake.connect(journal.home, "flights") as connection:
        rows = connection.execute('SELECT id, status, "column" FROM errors ORDER BY id').fetchall()
    assert rows == [("e1", 422, "origin"), ("e2", 422, "origin")]


def test_an_opened_home_tells_of_errors(journal: Any) -> None:
    """`flyball.open(home).errors` carries first."""
    refuse(journal, "e1")
    opened = open_home(journal.home.path)
    assert opened.errors("flights", DAY, END)["status"].to_pylist() == [422]


@pytest.mark.parametrize(
    "changes", [{"model": "../up"}, {"status": "422"}, {"columns": [1]}, {"version": "3"}, {"timestamp": "once"}]
)
def test_a_line_that_is_not_ours_is_none(changes: dict[str, Any]) -> None:
    """A model's name becomes a folder's name; types are strict."""
    values: dict[str, Any] = {"id": "e", "timestamp": stamp(DAY), "model": "m", "version": 1, "status": 500}
    rest: dict[str, Any] = {"reason": "internal", "columns": [], "caller": "", "request_id": "r", "route": ""}
    assert parse_line(encode_error(**(values | rest))) is not None
    assert parse_line(encode_error(**(values | rest | changes))) is None


def test_refused_requests_are_counted_beside_all_there_were(journal: Any) -> None:
    """Two requests with three rows were answered, four refused: three for their columns, one of them of the next day."""
    journal.predict("a", "b", request_id="one")
    journal.predict("c", request_id="two")
    refuse(journal, "e1")
    refuse(journal, "e2", columns=["hour"])
    refuse(journal, "e3", reason="malformed", status=400, columns=[])
    refuse(journal, "e4", timestamp=stamp(DAY + timedelta(days=1)))
    journal.carry()
    day = (DAY.replace(hour=0), DAY.replace(hour=0) + timedelta(days=1))
    assert refused(journal.home, "flights", *day) == (4, {"origin": 1, "hour": 2})


def test_where_none_was_refused_nothing_is_counted(journal: Any) -> None:
    journal.predict("a")
    journal.carry()
    assert refused(journal.home, "flights", DAY, END) == (0, {})

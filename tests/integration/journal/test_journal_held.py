"""Small files of the lake are held in memory: the same answers, from files that need not be there any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.journal.held import COLUMNS, UNDER_WAY, Held, among
from flyball.journal.layout import OUTCOMES, PREDICTIONS

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

Write = Callable[[str, list[float]], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of outcomes with these values."""

    def written(name: str, values: list[float]) -> str:
        rows = [
            {
                "outcome_id": f"{name}{number}",
                "id": f"p{number}",
                "key": None,
                "model": "late",
                "name": "label",
                "value": str(value),
                "number": value,
                "timestamp": AT + timedelta(hours=number),
                "received_at": AT,
            }
            for number, value in enumerate(values)
        ]
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=OUTCOMES), path)
        return str(path)

    return written


def values(connection: duckdb.DuckDBPyConnection, numbers: list[int]) -> list[tuple[float, int]]:
    sql = f"SELECT number, file_row_number FROM held_outcomes WHERE {among(numbers)} ORDER BY outcome_id"
    return connection.execute(sql).fetchall()


def test_what_was_read_once_is_not_read_again(write: Write) -> None:
    """Rows with their places in the file; the second time the file may be gone."""
    connection = duckdb.connect(":memory:")
    kept = Held(connection)
    one, two = write("a", [0.5, 0.25]), write("b", [1.0])
    numbers = kept.numbers("outcomes", [one, two])
    assert values(connection, list(numbers.values())) == [(0.5, 0), (0.25, 1), (1.0, 0)]
    Path(one).unlink()
    assert kept.numbers("outcomes", [one]) == {one: numbers[one]}
    assert values(connection, [numbers[one]]) == [(0.5, 0), (0.25, 1)]


def test_large_files_and_empty_ones_stay_where_they_are(write: Write) -> None:
    """Whoever asks reads them there."""
    kept = Held(duckdb.connect(":memory:"), small_bytes=100)
    assert kept.numbers("outcomes", [write("a", [0.5]), write("b", [])]) == {}


def test_text_is_not_held_for_a_number(tmp_path: Path) -> None:
    """The predictions of several classes would read as numbers where they look like some."""
    text = PREDICTIONS.set(PREDICTIONS.get_field_index("prediction"), pa.field("prediction", pa.string()))
    path = tmp_path / "classes.parquet"
    row = dict.fromkeys(PREDICTIONS.names) | {"id": "a", "prediction": "1"}
    pq.write_table(pa.Table.from_pylist([row], schema=text), path)
    assert Held(duckdb.connect(":memory:")).numbers("predictions", [str(path)]) == {}


def test_what_was_asked_for_longest_ago_is_let_go_but_not_under_a_question(write: Write) -> None:
    """Beyond three rows; of what the last questions named nothing is."""
    connection = duckdb.connect(":memory:")
    kept = Held(connection, most_rows=3)
    files = [write(name, [1.0, 2.0]) for name in "abc"]
    numbers = [kept.numbers("outcomes", [file])[file] for file in files]
    assert len(values(connection, numbers)) == 6
    for _ in range(UNDER_WAY):
        kept.numbers("outcomes", files[2:])
    assert values(connection, numbers) == [(1.0, 0), (2.0, 1)]
    assert kept.numbers("outcomes", files[2:]) == {files[2]: numbers[2]}


def test_features_are_not_held() -> None:
    """All else of a row is."""
    assert set(PREDICTIONS.names) - set(COLUMNS["predictions"].names) == {"features"}
    assert COLUMNS["outcomes"] == OUTCOMES

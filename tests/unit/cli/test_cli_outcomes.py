"""Reading outcomes from files: what is taken, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.cli.outcomes import read_outcomes
from flyball.errors import Mistake


def test_a_csv_cell_keeps_its_meaning(tmp_path: Path) -> None:
    """Values are numbers or booleans where they read as one; ids and keys stay text; empty cells are left out."""
    file = tmp_path / "o.csv"
    file.write_text("key,value,name,timestamp\n007,1,,2013-03-01T12:00Z\nb,true,,\nc,malignant,verdict,\n")
    assert list(read_outcomes(file)) == [
        {"key": "007", "value": 1, "timestamp": "2013-03-01T12:00Z"},
        {"key": "b", "value": True},
        {"key": "c", "value": "malignant", "name": "verdict"},
    ]


def test_json_lines_are_taken_as_they_are(tmp_path: Path) -> None:
    """A null value withdraws what was said before; blank lines are nothing."""
    file = tmp_path / "o.jsonl"
    file.write_text('{"id": "a", "value": null}\n\n{"id": "b", "value": 0.5}\n')
    assert list(read_outcomes(file)) == [{"id": "a", "value": None}, {"id": "b", "value": 0.5}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("o.csv", "id,key,value\na,b,1\n", ":2: an outcome needs a value, and an id or a key (one of them)"),
        ("o.csv", "id,value\na,1\nb,\n", ":3: an outcome needs a value"),
        ("o.csv", "id,label\na,1\n", ":2: unknown label; an outcome has id, key, name, value, timestamp"),
        ("o.csv", "id,value\na,1,2\n", ":2: unknown cells beyond the head"),
        ("o.jsonl", '{"id": "a"}\n', ":1: an outcome needs a value"),
        ("o.jsonl", "\n{\n", ":2: not JSON"),
        ("o.jsonl", "[]\n", ":1: not an object"),
        ("o.parquet", "", "outcomes are read from .csv or .jsonl, not .parquet"),
    ],
)
def test_a_row_that_is_no_outcome_is_named_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    """Before anything of its batch is sent."""
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(Mistake) as refused:
        list(read_outcomes(file))
    assert said in str(refused.value)

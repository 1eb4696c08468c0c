"""`flyball predict`: files in each format through the engine that serves."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.cli.conftest import Site


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


#: visits, paid, plan, and P(1) of v1.
ROWS = [(2.0, True, "basic", sigmoid(0)), (None, False, "gold", sigmoid(0)), (3.5, False, "unseen", sigmoid(3.5))]


def test_a_csv_file_keeps_its_columns_and_gains_answers(site: Site, tmp_path: Path) -> None:
    """Columns beside the features come out letter by letter; `1`, `True` and `true` are all true."""
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('zip,visits,paid,plan\n007,2.0,1,basic\n"a,b",,False,gold\n0,3.5,false,unseen\n')
    result = site("predict", "churn@1", str(source), str(target))
    assert result.stdout == f"3 rows scored with churn v1: {target}\n"
    with target.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["zip"] for row in rows] == ["007", "a,b", "0"]
    assert [row["visits"] for row in rows] == ["2.0", "", "3.5"]
    assert [float(row["prediction"]) for row in rows] == pytest.approx([row[3] for row in ROWS])
    assert {row["version"] for row in rows} == {"1"}


def test_a_parquet_file_keeps_its_types(site: Site, tmp_path: Path) -> None:
    """An integer beside the features stays one, and a time a time."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    columns = {"visits": [row[0] for row in ROWS], "paid": [row[1] for row in ROWS], "plan": [row[2] for row in ROWS]}
    pq.write_table(pa.table({"id": pa.array([1, None, 3], pa.int64()), **columns}), source)
    assert site("predict", "churn@v2", str(source), str(target)).exit_code == 0
    found = pq.read_table(target)
    assert found.column_names == ["id", "visits", "paid", "plan", "prediction", "score", "version"]
    assert found["id"].to_pylist() == [1, None, 3]
    assert found["prediction"].to_pylist() == pytest.approx([sigmoid(1), sigmoid(1), sigmoid(4.5)])


def test_json_lines_are_checked_like_a_request(site: Site, tmp_path: Path) -> None:
    """Answers stand beside each object's own fields; a wrong type is named with row and column."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"note": i, "visits": row[0], "paid": row[1], "plan": row[2]} for i, row in enumerate(ROWS)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert site("predict", "churn", str(source), str(target)).exit_code == 0
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["note"] for row in found] == [0, 1, 2]
    assert [row["score"] for row in found] == pytest.approx([row[3] for row in ROWS])
    source.write_text('{"visits": "many", "paid": true, "plan": "basic"}\n')
    refused = site("predict", "churn", str(source), str(target))
    assert refused.exit_code == 2
    assert "visits" in refused.stderr
    assert "many" not in refused.stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("in.csv", "visits,paid,plan\nmany,1,basic\n", "row 1: column 'visits' needs a number, got text"),
        ("in.csv", "visits,plan\n1,basic\n", "lacks column 'paid'"),
        ("in.csv", "visits,paid,plan,score\n1,1,basic,5\n", "has columns named score already"),
        ("in.csv", "visits,paid,plan\n", "has no rows"),
        ("in.csv", "", "cannot be read as .csv"),
        ("in.parquet", "no parquet", "cannot be read as .parquet"),
        ("in.jsonl", "[1]\n", "not an object"),
        ("in.jsonl", "{\n", "not JSON"),
        ("in.txt", "", "one of .csv, .parquet, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_scored_leaves_no_output(
    site: Site, tmp_path: Path, name: str, text: str, said: str
) -> None:
    """Exit 2 with the place and the mend; a former OUT stays as it was, and no draft is left."""
    source, target = tmp_path / name, (tmp_path / name).with_stem("out")
    source.write_text(text)
    target.write_text("as it was")
    result = site("predict", "churn", str(source), str(target))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert target.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"home", name, target.name})


def test_a_file_longer_than_one_piece_has_one_head(site: Site, tmp_path: Path) -> None:
    """50,001 rows: two pieces, one file."""
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("visits,paid,plan\n" + "1,0,basic\n" * 50_001)
    assert site("predict", "churn", str(source), str(target)).exit_code == 0
    lines = target.read_text().splitlines()
    assert (len(lines), lines[0]) == (50_002, "visits,paid,plan,prediction,score,version")


def test_promote_and_rollback_move_what_is_live(site: Site) -> None:
    """Each proves that the version answers, says from what to what, and under which audit number."""
    forth = site("promote", "churn@2", "--why", "better")
    assert forth.stdout == "churn v1 → v2  verified, no server runs in this home. Audit #2.\n"
    back = json.loads(site("rollback", "churn", "--why", "worse after all", "--json").stdout)
    assert back == {"model": "churn", "from": 2, "to": 1, "generation": 3, "audit": 3, "answering_after_s": None}
    assert site("promote", "churn@1").exit_code == 2


def test_a_version_whose_bundle_is_broken_is_not_promoted(site: Site) -> None:
    """Exit 1, and what was live stays."""
    with (site.home.path / "runs/run2/bundle/model.onnx").open("ab") as file:
        file.write(b"x")
    result = site("promote", "churn@2")
    assert result.exit_code == 1
    assert "model.onnx" in result.stderr
    assert json.loads(site("models", "--json").stdout)["models"][0]["live"] == 1

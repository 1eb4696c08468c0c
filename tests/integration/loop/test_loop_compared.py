"""What `diff`, `explain` and `lineage` tell of versions that a pipeline has made, and that have answered."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from flyball.cli.main import main
from flyball.loop import release
from flyball.loop.site import Site
from tests.integration.loop.conftest import DAY, START, Answer, settled


def told(site: Site, *words: str) -> tuple[int, Any]:
    result = CliRunner().invoke(main, [*words, "--json", "--home", str(site.home.path)])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def two(site: Site) -> Site:
    """v2 is live: it looks at x2, too."""
    quiet = settled(site, retrain={"mode": "off"})
    release.retrain(quiet, now=START + timedelta(hours=1), why="another recipe", params={"columns": 2})
    return quiet


def test_two_versions_are_compared_on_the_rows_that_the_later_ones_run_held_out(two: Site) -> None:
    """Five days of 150 rows; v1 does not look at x2, so the two are far apart where x2 is far from 0."""
    code, found = told(two, "diff", "late@1", "2")
    behaviour = found["behaviour"]
    assert (code, behaviour["source"]) == (0, "the rows that the run of v2 held out (step validate)")
    agreement = behaviour["agreement"]
    assert 700 < agreement["rows"] <= 751
    assert 0.1 < agreement["mean_difference"] < 0.4 < agreement["max_difference"] < 1
    assert 0.1 < agreement["class_changes"] < 0.5
    assert 0.4 < agreement["correlation"] < 0.9
    worst = behaviour["worst"]
    assert [item["difference"] for item in worst] == sorted((item["difference"] for item in worst), reverse=True)
    assert worst[0]["difference"] == agreement["max_difference"]
    assert all(list(item["values"]) == ["x1", "x2"] and abs(item["values"]["x2"]) > 1 for item in worst)
    assert told(two, "diff", "late@1", "1")[1]["behaviour"]["agreement"]["max_difference"] == 0.0


def test_held_out_rows_that_are_not_what_was_written_are_not_used(two: Site, answer: Answer) -> None:
    """The earlier version's do as well; without any, the lake's."""
    for number in (2, 1):
        run = told(two, "show", f"late@{number}")[1]["version"]["lineage"]["run"]
        (kept,) = (two.home.runs / run).glob("validate/*/value/value.parquet")
        source = told(two, "diff", "late@1", "2")[1]["behaviour"]["source"]
        assert source == f"the rows that the run of v{number} held out (step validate)"
        kept.write_bytes(b"x")
    why = told(two, "diff", "late@1", "2")[1]["behaviour"]["why"]
    assert why == (
        "no rows can be had: the held-out rows of v2 are gone, or not what was written; "
        "the held-out rows of v1 are gone, or not what was written; the lake of late has no row"
    )
    answer(START + DAY, count=20)
    told(two, "lineage", "late@1")  # carries
    assert told(two, "diff", "late@1", "2")[1]["behaviour"]["source"] == "the last 20 rows in the lake"


def test_what_a_trained_version_answered_is_answered_again(two: Site, answer: Answer) -> None:
    """Equal to the bit or in the last bits: 200 rows shared a call. Run, source and gate are told."""
    ids = answer(START + DAY)
    code, found = told(two, "explain", ids[7])
    assert (code, found["again"]["ok"], found["again"]["state"] in ("equal", "within")) == (0, True, True)
    assert found["again"]["difference"] < 1e-6
    assert found["source"].startswith("step collect: ")
    assert found["source"].endswith("given the window … .. 2013-04-08 05:00Z")
    assert (found["requested_by"], found["verdict"]["passed"]) == ("flyball", True)
    assert found["outcomes"][0]["id"] == ids[7]


def test_lineage_is_a_tree_from_the_data_to_live_traffic(two: Site, answer: Answer) -> None:
    """Each line in the order of a version's life; one page, whatever it has been through."""
    answer(START + DAY)
    assert told(two, "lineage", "late@1")[1]["traffic"]["answered"] == 200
    lines = CliRunner().invoke(main, ["lineage", "late@2", "--home", str(two.home.path)]).stdout.splitlines()
    names = [line.split()[1] for line in lines if line.startswith(("├─", "└─"))]
    assert names == [
        *("source", "data", "run", "candidate", "gate", "refit", "v2", "MLflow", "live", "traffic", "after")
    ]
    assert len(lines) <= 26
    text = "\n".join(lines)
    assert "refit      trained once more on all rows; the candidate is its gated twin" in text
    assert "→ refit.deploy.bundle " in text
    assert "│  ├─ model.onnx     SHA-256 " in text

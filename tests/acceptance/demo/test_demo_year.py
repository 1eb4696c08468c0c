"""Two weeks of flights, end to end: the summary tells what the lake, the database and the command line tell too."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flyball.demo.stage import MODEL
from flyball.registry.decisions import decisions
from flyball.registry.versions import versions
from flyball.store import Home, moment, stamp
from tests.acceptance.demo.conftest import DAYS, Lived, asked, beat, processes

pytestmark = pytest.mark.slow

#: `flyball demo --json`, as promised to programs.
KEYS = {
    *("days", "predictions", "outcomes", "retrains", "promotions", "refusals", "rollbacks", "drift_alarms", "auc"),
    *("by_month", "wall_s", "train_s", "served_per_s", "dashboard"),
}


def test_the_summary_has_every_key_of_the_contract(lived: Lived) -> None:
    """What programs may rely on, month by month too."""
    assert set(lived.summary) >= KEYS
    assert set(lived.summary["auc"]) == {"static", "blind", "loop"}
    assert [set(month) for month in lived.summary["by_month"]] == [
        {"month", "rows", "auc_static", "auc_blind", "auc_loop", "version"}
    ]
    counted = {name: lived.summary[name] for name in ("days", "retrains", "promotions", "refusals", "rollbacks")}
    assert counted == {"days": DAYS, "retrains": 1, "promotions": 1, "refusals": 0, "rollbacks": 0}
    assert lived.summary["wall_s"] > lived.summary["train_s"] > 0
    assert lived.summary["served_per_s"] > 0


def test_every_flight_is_in_the_lake_exactly_once(lived: Lived) -> None:
    """As many predictions as flights were scheduled, each under its own key."""
    flights = asked(DAYS)
    keys = lived.lake("SELECT key FROM predictions")["key"]
    assert sorted(keys) == sorted(flights["flight"])
    assert lived.summary["predictions"] == len(flights)


def test_every_flight_that_arrived_has_its_outcome(lived: Lived) -> None:
    """Joined to its own prediction with what really happened; the others have none."""
    flights = asked(DAYS)
    arrived = flights[flights["arr_delay"].notna()]
    told = lived.lake("SELECT key, label FROM scored WHERE label IS NOT NULL").set_index("key")["label"]
    assert told.to_dict() == dict(zip(arrived["flight"], (arrived["arr_delay"] > 15).astype(float), strict=True))
    assert lived.summary["outcomes"] == len(arrived)


def test_the_loops_auc_is_that_of_what_was_answered(lived: Lived) -> None:
    """Recomputed from the lake by scikit-learn, to the digits the summary gives."""
    rows = lived.lake("SELECT score, label, version FROM scored WHERE label IS NOT NULL")
    assert lived.summary["auc"]["loop"] == round(roc_auc_score(rows["label"], rows["score"]), 4)
    month = lived.summary["by_month"][0]
    assert (month["month"], month["rows"], month["version"]) == ("2013-03", len(rows), [1, 2])
    assert month["auc_loop"] == lived.summary["auc"]["loop"]


def test_a_day_is_answered_by_the_version_live_that_day(lived: Lived) -> None:
    """v1 for ten days and a morning, v2 beside it that morning on the very same rows, then v2 alone."""
    flights = asked(DAYS).set_index("flight")["day"]
    live = lived.lake("SELECT id, key, version, generation FROM predictions")
    live["day"] = live["key"].map(flights)
    by_day = live.groupby("day")[["version", "generation"]].agg(["min", "max"])
    expected = [[1, 1, 1, 1]] * 10 + [[1, 2, 2, 3]] + [[2, 2, 3, 3]] * 3
    np.testing.assert_array_equal(by_day.to_numpy(), expected)
    beside = lived.lake("SELECT id, version FROM shadow")
    assert set(beside["version"]) == {2}
    assert sorted(beside["id"]) == sorted(live[(live["day"] == "2013-03-11") & (live["version"] == 1)]["id"])


def test_the_command_line_agrees_with_the_database(lived: Lived) -> None:
    """versions, at, why, decisions and runs tell what was recorded."""
    kept = versions(lived.database(), MODEL)
    told = lived.ask("versions", MODEL)["versions"]
    assert [(item["number"], item["label"], item["digest"], item["stage"]) for item in told] == [
        (item.number, item.label, item.digest, item.stage) for item in kept
    ]
    assert [item.stage for item in kept] == ["archived", "production"]
    runs = lived.ask("runs")["runs"]
    assert {item["id"]: item["version"] for item in runs} == {item.lineage.run: item.number for item in kept}
    recorded = decisions(lived.database(), MODEL, limit=200)
    answered = lived.ask("decisions", MODEL, "--limit", "200")["decisions"]
    assert [(item["id"], item["kind"], item["verdict"]) for item in answered] == [
        (item.id, item.kind, item.verdict) for item in recorded
    ]


def test_at_any_time_the_command_line_knows_what_was_live(lived: Lived) -> None:
    """A moment before a beat the old version, at the beat the new one; with the reason that moved it."""
    history = lived.rows("SELECT generation, at, live FROM deployment ORDER BY generation")
    assert [at for _, at, _ in history] == [stamp(at) for at in (beat(1), beat(11), beat(11, hour=12))]
    for generation, at, version in history:
        answer = lived.ask("at", MODEL, at)
        assert (answer["generation"], answer["version"], moment(answer["since"])) == (generation, version, moment(at))
    before = lived.ask("at", MODEL, beat(11).replace(hour=11, minute=59).isoformat())
    assert (before["version"], before["shadow"]) == (1, [2])


def test_why_tells_the_whole_story_of_the_live_version(lived: Lived) -> None:
    """The gate's verdict, the rollout's, and the moves they made."""
    story = lived.ask("why", f"{MODEL}@production")
    assert story["version"]["number"] == 2
    assert (story["verdict"]["passed"], story["verdict"]["occasion"]) == (True, "refresh")
    assert story["verdict"]["champion"] == story["version"]["lineage"]["parent"] == 1
    assert [(item["kind"], item["verdict"]) for item in sorted(story["decisions"], key=lambda item: item["id"])] == [
        ("gate", "passed"),
        ("rollout", "full"),
    ]


def test_the_end_leaves_nothing_running(lived: Lived) -> None:
    """Workers, dashboard and step processes end with the demo."""
    assert processes(str(lived.home.path)) == {}


def test_every_version_is_made_again_to_the_bit(lived: Lived, tmp_path: Path) -> None:
    """From its recipe, the flights known that day and its seed; refused ones too."""
    copy = Lived(home=Home(Path(shutil.copytree(lived.home.path, tmp_path / "home"))), summary=lived.summary)
    known = versions(copy.database(), MODEL)
    assert len(known) >= 2
    for item in known:
        made = copy.ask("reproduce", f"{MODEL}@{item.number}", "--environment", "current")
        assert (made["result"], made["data"], made["differing"]) == ("bit-equal", "source", 0)
        assert (made["dump_equal"], made["graph_equal"], made["notes"]) == (True, True, [])

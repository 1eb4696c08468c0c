"""`flyball explain`: a journaled prediction answered once more by the bundle that answered it; `diff` on the lake's rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from flyball.journal.line import apply_policy, encode_outcomes, encode_predictions
from flyball.journal.segment import Segment
from flyball.registry import live
from flyball.store import stamp
from tests.integration.cli.conftest import Site

AT = "2013-03-01T12:00:00.000000Z"
#: of v1: sigmoid(2 - 2).
ROW = {"visits": [2.0], "paid": [True], "plan": ["gold"]}


def journal(site: Site, *scores: float, columns: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """Answers to one request, as a worker writes them; one is under the id `a`."""
    line: dict[str, Any] = {
        "model": "churn",
        "version": 1,
        "variant": "live",
        "role": "live",
        "source": "http",
        "generation": 1,
        "request_id": "r",
        "ids": ["a"],
        "timestamp": AT,
        "received_at": AT,
        "latency_ms": 1.0,
        "key": None,
        "features": columns or ROW,
        "prediction": list(scores),
        "score": list(scores),
    }
    append(site, "predictions", encode_predictions(**{**line, **changes}))


def append(site: Site, kind: str, line: bytes) -> None:
    segment = Segment(site.home.journal, kind)
    assert segment.append(line)
    segment.close()


def explained(site: Site) -> tuple[int, dict[str, Any]]:
    result = site("explain", "a", "--json")
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("score", "state", "code", "said"),
    [
        (0.5, "equal", 0, "again       0.5, equal to the bit\n"),
        (
            0.500001,
            "within",
            0,
            "0.5, differs by 1e-06, as rows that share a call may; the version's tolerance is 1e-05\n",
        ),
        (0.6, "different", 1, "again       0.5, DIFFERS by 0.1; the version's tolerance is 1e-05\n"),
    ],
)
def test_an_answer_is_given_again_and_compared(site: Site, score: float, state: str, code: int, said: str) -> None:
    """Exit 1 where it differs by more than the version's parity allowed."""
    journal(site, score)
    found = explained(site)
    assert (found[0], found[1]["again"]["state"], found[1]["again"]["prediction"]) == (code, state, 0.5)
    text = site("explain", "a")
    assert (text.exit_code, said in text.stdout) == (code, True), text.stdout


def test_a_corrupt_bundle_is_told_and_not_asked(site: Site) -> None:
    """Exit 1, naming the file."""
    journal(site, 0.5)
    with (site.home.path / "runs/run1/bundle/model.onnx").open("ab") as file:
        file.write(b"x")
    code, found = explained(site)
    assert (code, found["again"]["state"], found["again"]["prediction"]) == (1, "corrupt", None)
    assert "model.onnx: has " in found["again"]["why"]


def test_a_bundle_that_is_gone_is_no_fault_of_the_answer(site: Site) -> None:
    """Exit 0: nothing speaks against it, and nothing can be said for it."""
    journal(site, 0.5)
    shutil.rmtree(site.home.path / "runs/run1/bundle")
    code, found = explained(site)
    assert (code, found["again"]["state"]) == (0, "impossible")
    assert found["again"]["why"] == "the bundle runs/run1/bundle is gone"


def test_a_row_that_the_journal_does_not_wholly_keep_is_not_guessed_at(site: Site) -> None:
    """Each column that is hashed or dropped is named, as the deployment of that time said."""
    policy: Any = {"plan": "hash", "visits": "drop"}
    with site.database.write() as tx:
        before = live.current(tx, "churn")
        assert before is not None
        live.deploy(tx, replace(before, columns=policy), replaces=before.generation, who="ada", why="privacy")
    kept = {name: values for name, values in ROW.items() if name != "visits"}
    journal(site, 0.5, columns={**kept, "plan": ["0" * 32]}, generation=2)
    code, found = explained(site)
    assert (code, found["again"]["state"], found["again"]["prediction"]) == (0, "impossible", None)
    assert found["again"]["why"] == ("[columns] keeps its values out of the journal: visits is dropped, plan is hashed")
    assert apply_policy({}, policy, b"s") == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generation": 9}, "no deployment of churn is kept that says what the journal did with the row's columns"),
        ({"columns": {"visits": [2.0], "paid": [True]}}, "the lake has no column plan"),
        ({"columns": {**ROW, "paid": ["perhaps"]}}, "the row as it is kept is not one the version takes: "),
    ],
)
def test_a_row_that_cannot_be_known_is_not_answered(site: Site, changes: dict[str, Any], said: str) -> None:
    """With the exact reason; its values are not in it."""
    journal(site, 0.5, **changes)
    code, found = explained(site)
    assert (code, found["again"]["state"]) == (0, "impossible")
    assert found["again"]["why"].startswith(said)
    assert "perhaps" not in found["again"]["why"]


def test_outcomes_shadows_and_what_it_is_called_are_told(site: Site) -> None:
    """Beside who let it in."""
    journal(site, 0.5)
    journal(site, 0.75, version=2, variant="v2", role="shadow")
    told = {"outcome_id": "o", "id": "a", "name": "label", "value": 1, "timestamp": AT}
    append(site, "outcomes", encode_outcomes(model="churn", received_at=AT, outcomes=[told]))
    site("alias", "churn@1", "best")
    _, found = explained(site)
    assert [(item["version"], item["prediction"]) for item in found["shadow"]] == [(2, 0.75)]
    assert (found["aliases"], found["deployed"]["who"], found["outcomes"][0]["number"]) == (["best"], "flyball", 1.0)
    text = site("explain", "a").stdout
    assert "version     churn v1 (best)  churn-1\n" in text
    assert "shadows     v2 answered 0.75\n" in text
    assert "run         run1, 2013-03-01 00:00Z, manual\n" in text


def test_two_versions_without_held_out_rows_are_compared_on_the_lakes(site: Site) -> None:
    """v2 adds 1 to the logit; a row of which it is not known what the journal did with it is left out."""
    journal(site, 0.5)
    journal(
        site,
        0.9,
        0.5,
        ids=["b", "c"],
        columns={"visits": [4.0, None], "paid": [True, False], "plan": ["gold", "x"]},
    )
    journal(site, 0.5, ids=["d"], generation=9)
    site("explain", "a")  # carries
    found = json.loads(site("diff", "churn@1", "2", "--json").stdout)["behaviour"]
    assert found["source"] == "the last 3 rows in the lake"
    half, up, most, top = 0.5, 0.7310586, 0.8807971, 0.9525741
    assert found["agreement"]["rows"] == 3
    assert found["agreement"]["max_difference"] == pytest.approx(up - half, abs=1e-6)
    assert found["agreement"]["mean_difference"] == pytest.approx((2 * (up - half) + top - most) / 3, abs=1e-6)
    assert found["agreement"]["class_changes"] == 0.0
    assert found["worst"][0]["values"] in (
        {"visits": 2.0, "paid": True, "plan": "gold"},
        {"visits": None, "paid": False, "plan": "x"},
    )
    assert site("diff", "churn@1", "2").stdout.splitlines()[-4].split()[:4] == [*("ROW", "APART", "churn@1", "churn@2")]


def test_values_that_the_journal_would_not_keep_are_not_shown(site: Site) -> None:
    """As any deployment of the model said."""
    journal(site, 0.5)
    site("explain", "a")
    with site.database.write() as tx:
        before = live.current(tx, "churn")
        assert before is not None
        after = replace(before, columns={"plan": "hash"})
        live.deploy(tx, after, replaces=before.generation, who="ada", why="privacy")
    found = json.loads(site("diff", "churn@1", "2", "--json").stdout)["behaviour"]
    assert (list(found["worst"][0]["values"]), found["hidden"]) == (["visits", "paid"], {"plan": "hash"})
    assert site("diff", "churn@1", "2").stdout.splitlines()[-1] == "not shown, by [columns]: plan"


def test_where_no_rows_can_be_had_it_is_said(site: Site) -> None:
    """What was looked for, and why it is not there."""
    found = json.loads(site("diff", "churn@1", "2", "--json").stdout)["behaviour"]
    assert (found["agreement"], found["why"]) == (
        None,
        "no rows can be had: the run of v2 kept no step validate; the run of v1 kept no step validate; "
        "the lake of churn has no row",
    )


def test_lineage_counts_what_a_version_has_answered(site: Site) -> None:
    """With first and last, and its files with their digests."""
    journal(site, 0.5)
    journal(site, 0.5, ids=["b"], timestamp="2013-03-05T12:00:00.000000Z")
    journal(site, 0.75, version=2, variant="v2", role="shadow")
    found = json.loads(site("lineage", "churn@1", "--json").stdout)
    assert found["traffic"]["answered"] == 2
    assert stamp_of(found["traffic"]["last"]) == "2013-03-05T12:00:00.000000Z"
    assert set(found["artifacts"]) == {"model.onnx", "contract.json"}
    text = site("lineage", "churn@1").stdout
    assert f"│  └─ model.onnx     SHA-256 {found['artifacts']['model.onnx']['sha256']}, " in text
    assert "├─ live       2013-03-01 00:00Z .. now, by flyball: the first version\n" in text
    assert text.endswith("└─ traffic    2 predictions, 2013-03-01 12:00Z .. 2013-03-05 12:00Z\n")
    second = site("lineage", "churn@2").stdout
    assert second.endswith("└─ traffic    no prediction in the lake; 1 row scored as a shadow\n")


def stamp_of(text: str) -> str:
    return stamp(datetime.fromisoformat(text))

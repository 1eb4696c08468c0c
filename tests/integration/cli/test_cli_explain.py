"""A kept prediction asked again of the version that answered it: the same, or how far from it, or why nobody can tell."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from flyball.cli.explain import asked_again, find_prediction, told_again
from flyball.errors import Corrupt
from flyball.journal.carry import carry
from flyball.journal.line import encode_outcomes, encode_predictions
from flyball.journal.segment import Segment
from flyball.loop.reanswer import Reanswered, reanswer
from flyball.registry.versions import version
from flyball.store import stamp
from tests.integration.cli.conftest import Site

#: as the lake keeps it; the graph answers sigmoid(2 - 2 + 0).
ROW: dict[str, Any] = {
    "prediction": "0.5",
    "score": 0.5,
    "features": {"visits": 2.0, "paid": True, "plan": "basic"},
}


def again(site: Site, row: dict[str, Any] | None = None, policy: dict[str, str] | None = None) -> Reanswered:
    return reanswer(site.home, version(site.database, "churn", 1), {**ROW, **(row or {})}, policy or {})


def test_the_same_row_is_answered_the_same(site: Site) -> None:
    """To the bit, where it is asked alone both times."""
    found = again(site)
    assert (found.verdict, found.now, found.difference, found.why) == ("equal", 0.5, 0.0, None)
    assert told_again(found) == "0.5 again, equal to the bit"


def test_last_bits_may_differ_and_no_more(site: Site) -> None:
    """Within the version's own tolerance; beyond it the answer is another one."""
    near, far = again(site, {"score": 0.5 + 1e-7}), again(site, {"score": 0.6})
    assert (near.verdict, far.verdict) == ("within tolerance", "different")
    assert told_again(far) == "0.5 now: different (by 0.1, 1e-05 is allowed)"


def test_what_was_not_kept_cannot_be_asked(site: Site) -> None:
    """Hashed or dropped: the column is named, and nothing is guessed."""
    found = again(site, policy={"plan": "hash", "paid": "keep", "other": "drop"})
    assert (found.verdict, found.now) == ("cannot be told", None)
    assert told_again(found).endswith("the journal keeps no values of plan (hash), as [columns] says")


@pytest.mark.parametrize("features", [{"visits": 2.0, "paid": None, "plan": "basic"}, {"visits": 2.0}])
def test_a_row_that_the_contract_refuses_is_told_as_such(site: Site, features: dict[str, Any]) -> None:
    """By column."""
    found = again(site, {"features": features})
    assert found.verdict == "cannot be told"
    assert "the kept row is refused by the version's contract: paid" in str(found.why)


def test_numbers_of_the_lake_are_what_the_request_wrote(site: Site) -> None:
    """Booleans that Parquet holds as numbers are booleans again, a missing number is missing."""
    found = again(site, {"features": {"visits": float("nan"), "paid": 0.0, "plan": "gold"}})
    assert (found.verdict, found.now) == ("equal", 0.5)


def test_numbers_that_the_lake_holds_as_texts_are_numbers_again(site: Site) -> None:
    """Where another version's rows have texts in the column; what is no number is refused, not guessed at."""
    found = again(site, {"features": {"visits": "2", "paid": "true", "plan": "gold"}})
    assert (found.verdict, found.now) == ("equal", 0.5)
    odd = again(site, {"features": {"visits": "2", "paid": "perhaps", "plan": "gold"}})
    assert (odd.verdict, odd.why) == ("cannot be told", "the kept row is refused by the version's contract: paid")


def test_where_nobody_knows_what_the_journal_did_nothing_is_guessed(site: Site) -> None:
    """A hashed text looks like any other."""
    found = reanswer(site.home, version(site.database, "churn", 1), ROW, None)
    assert (found.verdict, found.now) == ("cannot be told", None)
    assert "no deployment is kept" in str(found.why)


def test_a_bundle_that_is_not_what_was_registered_says_so(site: Site) -> None:
    """It answers nothing."""
    path = site.home.path / version(site.database, "churn", 1).bundle / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(Corrupt, match=r"model\.onnx: has \d+ bytes"):
        again(site)
    told = asked_again(site.home, site.database, version(site.database, "churn", 1), {**ROW, "generation": 1})
    assert (told.verdict, told.now) == ("corrupt", None)
    assert "model.onnx: has" in str(told.why)


def test_what_came_true_is_found_by_the_key_too(site: Site) -> None:
    """Of two predictions of one key the outcome belongs to the one that the lake joins it to."""
    ids = ["first", "second"]
    for number, prediction in enumerate(ids):
        at = stamp(datetime(2013, 3, 2 + 4 * number, 12, tzinfo=UTC))
        line = encode_predictions(
            model="churn",
            version=1,
            variant="live",
            role="live",
            source="http",
            generation=1,
            request_id="r",
            ids=[prediction],
            timestamp=at,
            received_at=at,
            latency_ms=1.0,
            key=["ada"],
            features={"visits": np.array([2.0]), "paid": np.array([1.0]), "plan": np.array(["basic"], dtype=object)},
            prediction=np.array([0.5]),
            score=np.array([0.5]),
        )
        append(site, "predictions", line)
    at = stamp(datetime(2013, 3, 7, 12, tzinfo=UTC))
    told = {"outcome_id": "o", "key": "ada", "name": "label", "value": 1, "timestamp": at}
    append(site, "outcomes", encode_outcomes(model="churn", received_at=at, outcomes=[told]))
    carry(site.home, site.database, now=datetime(2013, 3, 8, tzinfo=UTC))
    found = [[item["value"] for item in find_prediction(site.home, ["churn"], item)[1]] for item in ids]
    assert found == [[], ["1"]]


def append(site: Site, kind: str, line: bytes) -> None:
    segment = Segment(site.home.journal, kind)
    assert segment.append(line)
    segment.close()

"""POST /models/{m}/outcomes: all of a request's outcomes are kept, or it says why not."""

from __future__ import annotations

from typing import Any

import pytest

PATH = "/models/delay/outcomes"


def test_outcomes_are_journaled_and_accepted(client: Any) -> None:
    """202 with one id an outcome; the line holds them as they were said, with the default name."""
    reply = client.post(PATH, {"outcomes": [{"id": "a", "value": 1}, {"key": "N1", "name": "paid", "value": 2.5}]})
    (line,) = client.journal("outcomes")
    ids = reply.json()["ids"]
    assert (reply.status, reply.json()["accepted"]) == (202, 2)
    assert line["outcomes"] == [
        {"outcome_id": ids[0], "id": "a", "name": "label", "value": 1},
        {"outcome_id": ids[1], "key": "N1", "name": "paid", "value": 2.5},
    ]


def test_an_outcome_keeps_its_own_time(client: Any) -> None:
    """The timestamp is when it came true, in UTC."""
    client.post(PATH, {"outcomes": [{"id": "a", "value": True, "timestamp": "2013-01-01T01:00:00+01:00"}]})
    (line,) = client.journal("outcomes")
    assert line["outcomes"][0]["timestamp"] == "2013-01-01T00:00:00.000000Z"


def test_the_same_request_again_makes_the_same_outcome_ids(client: Any) -> None:
    """With an Idempotency-Key; and never those of the predictions made under the same key."""
    value = {"outcomes": [{"id": "a", "value": 1}]}
    first, again = (client.post(PATH, value, idempotency_key="k").json()["ids"] for _ in range(2))
    predicted = client.post("/models/delay/predict", {"inputs": [{"hour": 1, "distance": 1}]}, idempotency_key="k")
    assert first == again != predicted.json()["ids"]


@pytest.mark.parametrize(
    ("outcome", "loc"),
    [
        (1, []),
        ({"value": 1}, []),
        ({"id": "a", "key": "b", "value": 1}, []),
        ({"id": "", "value": 1}, ["id"]),
        ({"id": 5, "value": 1}, ["id"]),
        ({"id": "a"}, ["value"]),
        ({"id": "a", "value": [1]}, ["value"]),
        ({"id": "a", "value": "x" * 1025}, ["value"]),
        ({"id": "a", "value": 1, "name": ""}, ["name"]),
        ({"id": "a", "value": 1, "label": 1}, ["label"]),
        ({"id": "a", "value": 1, "timestamp": "2999-01-01T00:00:00Z"}, ["timestamp"]),
    ],
)
def test_one_wrong_outcome_refuses_them_all(shared: Any, outcome: Any, loc: list[Any]) -> None:
    """422 names the outcome and the field, and nothing is kept: the client can mend and send again."""
    reply = shared.post(PATH, {"outcomes": [{"id": "good", "value": 1}, outcome]})
    assert (reply.status, reply.json()["errors"][0]["loc"]) == (422, ["outcomes", 1, *loc])
    assert shared.journal("outcomes") == []


@pytest.mark.parametrize("body", [{}, [], {"outcomes": {}}, {"outcomes": []}, {"outcomes": [], "more": 1}])
def test_a_request_without_outcomes_is_refused(shared: Any, body: Any) -> None:
    """At least one, in a list, and nothing else."""
    assert shared.post(PATH, body).status == 422


def test_outcomes_that_cannot_be_written_are_not_accepted(client: Any) -> None:
    """503 and Retry-After, unlike a prediction: an outcome is worth nothing unless kept."""
    for path in client.home.journal.iterdir():
        path.unlink()
    client.home.journal.rmdir()
    client.home.journal.write_text("not a folder")
    reply = client.post(PATH, {"outcomes": [{"id": "a", "value": 1}]})
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")


def test_outcomes_of_a_model_that_is_not_there_are_refused(shared: Any) -> None:
    """404 names the models there are."""
    reply = shared.post("/models/dealy/outcomes", {"outcomes": [{"id": "a", "value": 1}]})
    assert reply.status == 404
    assert "delay" in reply.json()["detail"]

"""POST /models/{m}/predict, from request bytes to answer, headers and journal."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROW = {"hour": 18.0, "distance": 760.5}
PATH = "/models/delay/predict"


def test_an_answer_names_model_version_variant_and_gives_one_id_a_row(client: Any) -> None:
    """The native answer: model, version, variant, one probability and one id for each row."""
    reply = client.post(PATH, {"inputs": [ROW, {"hour": 1, "distance": 760.5}]})
    answer = reply.json()
    assert reply.status == 200
    assert (answer["model"], answer["version"], answer["variant"]) == ("delay", 1, "live")
    assert answer["predictions"][0] > 0.8 > 0.1 > answer["predictions"][1]
    assert len(set(answer["ids"])) == 2


def test_split_inputs_answer_as_records_do_in_any_order_of_columns(client: Any) -> None:
    """Columns and data say the same as a list of objects."""
    records = client.post(PATH, {"inputs": [ROW]}).json()
    split = client.post(PATH, {"inputs": {"columns": ["distance", "hour"], "data": [[760.5, 18.0]]}}).json()
    assert split["predictions"] == records["predictions"]


def test_the_headers_tell_version_variant_and_generation(client: Any) -> None:
    """X-Flyball-* name what answered; the length is the body's."""
    reply = client.post(PATH, {"inputs": [ROW]})
    assert reply.headers["x-flyball-model"] == "delay@1"
    assert reply.headers["x-flyball-variant"] == "live"
    assert reply.headers["x-flyball-generation"] == "1"
    assert reply.headers["content-length"] == str(len(reply.body))


def test_a_multiclass_model_answers_labels_and_all_probabilities(installed: Any, start: Any) -> None:
    """Predictions are class labels; probabilities has one list a row, which sums to one."""
    installed.deploy("kind", 1)
    answer = (
        start()
        .post("/models/kind/predict", {"inputs": [{"hour": 1, "distance": 8}, {"hour": 23, "distance": 8}]})
        .json()
    )
    assert answer["predictions"] == ["0", "2"]
    assert [len(row) for row in answer["probabilities"]] == [3, 3]
    assert sum(answer["probabilities"][0]) == pytest.approx(1.0, abs=1e-5)


def test_a_regression_answers_its_value(installed: Any, start: Any) -> None:
    """The price was trained to be half the distance."""
    installed.deploy("price", 1)
    answer = start().post("/models/price/predict", {"inputs": [{"hour": 3, "distance": 1000}]}).json()
    assert answer["predictions"] == [pytest.approx(500.0, rel=1e-4)]
    assert "probabilities" not in answer


def test_the_journal_line_is_written_with_what_was_asked_and_answered(client: Any) -> None:
    """Features as they came, ids, key, event time, prediction; one line for the request."""
    reply = client.post(
        PATH, {"inputs": [ROW], "key": "N1", "timestamp": "2013-01-01T12:00:00+02:00"}, x_request_id="r-1"
    )
    (line,) = client.journal()
    answer = reply.json()
    assert line["features"] == {"hour": [18.0], "distance": [760.5]}
    assert (line["ids"], line["key"], line["request_id"]) == (answer["ids"], ["N1"], "r-1")
    assert line["timestamp"] == "2013-01-01T10:00:00.000000Z"
    assert line["prediction"] == line["score"] == answer["predictions"]
    assert (line["role"], line["source"], line["variant"], line["generation"]) == ("live", "http", "live", 1)


def test_without_a_timestamp_the_event_happened_when_it_was_received(client: Any) -> None:
    """The default event time is now."""
    client.post(PATH, {"inputs": [ROW]})
    (line,) = client.journal()
    assert line["timestamp"] == line["received_at"]
    assert datetime.fromisoformat(line["timestamp"]) == pytest.approx(datetime.now(UTC), abs=timedelta(seconds=30))


def test_keys_and_timestamps_may_be_one_for_each_row(client: Any) -> None:
    """A list as long as the rows is taken in their order."""
    stamps = ["2013-01-01T00:00:00Z", "2013-01-02T00:00:00Z"]
    client.post(PATH, {"inputs": [ROW, ROW], "key": ["a", "b"], "timestamp": stamps})
    (line,) = client.journal()
    assert line["key"] == ["a", "b"]
    assert line["timestamp"] == ["2013-01-01T00:00:00.000000Z", "2013-01-02T00:00:00.000000Z"]


def test_hashed_and_dropped_columns_never_reach_the_journal(installed: Any, start: Any) -> None:
    """The deployment's column policy holds before the line is encoded."""
    installed.deploy("delay", 1, columns={"hour": "drop", "distance": "hash"})
    client = start()
    client.post(PATH, {"inputs": [ROW]})
    (line,) = client.journal()
    assert list(line["features"]) == ["distance"]
    assert len(line["features"]["distance"][0]) == 32


def test_an_idempotency_key_gives_the_same_ids_again(client: Any) -> None:
    """So a retry after a lost answer is one prediction in the lake, not two."""
    first, again, other = (
        client.post(PATH, {"inputs": [ROW, ROW]}, idempotency_key=key).json()["ids"] for key in ("k1", "k1", "k2")
    )
    assert first == again
    assert len({*first, *other}) == 4


def test_a_large_body_is_scored_aside_and_answers_the_same(client: Any) -> None:
    """Beyond half a mebibyte decoding and scoring leave the event loop; nothing else changes."""
    many = client.post(PATH, {"inputs": [ROW] * 20_000}).json()
    assert many["predictions"] == client.post(PATH, {"inputs": [ROW]}).json()["predictions"] * 20_000
    assert len(set(many["ids"])) == 20_000


@pytest.mark.parametrize(
    ("body", "status", "loc"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[]", 422, ["inputs"]),
        (b"{}", 422, ["inputs"]),
        (b'{"inputs":null}', 422, ["inputs"]),
        (b'{"inputs":[]}', 422, ["inputs"]),
        (b'{"inputs":[1]}', 422, ["inputs", 0]),
        ({"inputs": [ROW, {"hour": "18", "distance": 1}]}, 422, ["inputs", 1, "hour"]),
        ({"inputs": [{"hour": True, "distance": 1}]}, 422, ["inputs", 0, "hour"]),
        ({"inputs": [{"hour": None, "distance": 1}]}, 422, ["inputs", 0, "hour"]),
        ({"inputs": [{"hour": 1}]}, 422, ["inputs", 0, "distance"]),
        ({"inputs": [{**ROW, "extra": 1}]}, 422, ["inputs", 0, "extra"]),
        ({"inputs": {"columns": ["hour"], "data": [[1]]}}, 422, ["inputs", "distance"]),
        ({"inputs": {"columns": ["hour", "distance"], "data": [[1]]}}, 422, ["inputs", 0]),
        ({"inputs": {"columns": ["hour", "distance"]}}, 422, ["inputs", "data"]),
        ({"inputs": {"columns": 1, "data": []}}, 422, ["inputs", "columns"]),
        ({"inputs": {"columns": [], "data": [], "index": []}}, 422, ["inputs", "index"]),
        ({"inputs": [ROW], "keys": "a"}, 422, ["keys"]),
        ({"inputs": [ROW], "key": 7}, 422, ["key"]),
        ({"inputs": [ROW], "key": ["a", "b"]}, 422, ["key"]),
        ({"inputs": [ROW, ROW], "key": ["a", ""]}, 422, ["key", 1]),
        ({"inputs": [ROW], "timestamp": "yesterday"}, 422, ["timestamp"]),
        ({"inputs": [ROW], "timestamp": "2013-01-01T00:00:00"}, 422, ["timestamp"]),
        ({"inputs": [ROW], "timestamp": 5}, 422, ["timestamp"]),
        ({"inputs": [ROW], "timestamp": "9999-12-31T23:59:59-14:00"}, 422, ["timestamp"]),
        ({"inputs": [ROW], "timestamp": []}, 422, ["timestamp"]),
    ],
)
def test_a_wrong_request_is_refused_by_place(shared: Any, body: Any, status: int, loc: list[Any] | None) -> None:
    """400 for what is no JSON; 422 names the place; nothing is journaled; the body is problem+json."""
    reply = shared.post(PATH, body)
    problem = reply.json()
    assert reply.status == problem["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert [error["loc"] for error in problem["errors"]] == ([] if loc is None else [loc])
    assert shared.journal() == []


def test_a_time_in_the_future_is_refused_beyond_a_minute_of_clock_skew(client: Any) -> None:
    """59 s ahead is a clock that goes wrong; 70 s ahead is a mistake."""
    soon, later = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (50, 70))
    assert client.post(PATH, {"inputs": [ROW], "timestamp": soon.isoformat()}).status == 200
    assert client.post(PATH, {"inputs": [ROW], "timestamp": later.isoformat()}).status == 422


def test_a_refusal_never_repeats_a_value(client: Any) -> None:
    """Neither the answer nor the log holds what was sent in a field."""
    reply = client.post(PATH, {"inputs": [{"hour": "s3cret", "distance": 1}], "timestamp": "s3cret"})
    assert reply.status == 422
    assert b"s3cret" not in reply.body
    assert "s3cret" not in str(client.log)


def test_a_refusal_is_logged_once_with_its_request_id(client: Any) -> None:
    """The log line and the problem carry the same id."""
    reply = client.post(PATH, b"{", x_request_id="abc")
    assert [(line["request_id"], line["status"], line["kind"]) for line in client.log] == [("abc", 400, "not-json")]
    assert reply.json()["request_id"] == reply.headers["x-request-id"] == "abc"


@pytest.mark.parametrize("given", ["has blank", "x" * 129, "ü", ""])
def test_a_request_id_of_another_form_is_replaced(client: Any, given: str) -> None:
    """Only [A-Za-z0-9._-]{1,128} is echoed."""
    assert client.post(PATH, {"inputs": [ROW]}, x_request_id=given).headers["x-request-id"] != given


def test_traceparent_is_passed_on(client: Any) -> None:
    """The trace context comes back with the answer."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert client.post(PATH, {"inputs": [ROW]}, traceparent=trace).headers["traceparent"] == trace


@pytest.mark.parametrize("key", ["", "x" * 201, "has blank", "\x7f"])
def test_an_idempotency_key_of_another_form_is_refused(shared: Any, key: str) -> None:
    """At most 200 visible ASCII characters; never silently ignored."""
    reply = shared.post(PATH, {"inputs": [ROW]}, idempotency_key=key)
    assert (reply.status, reply.json()["errors"][0]["loc"]) == (422, ["header", "Idempotency-Key"])


def test_a_body_declared_too_large_is_refused_before_it_is_read(installed: Any, start: Any) -> None:
    """413 by Content-Length alone."""
    installed.deploy("delay", 1)
    client = start(max_body_bytes=100)
    reply = client.chunks("POST", PATH, [None], {"content-length": "101"})
    assert reply.status == 413


def test_a_body_that_grows_too_large_is_refused_while_it_is_read(installed: Any, start: Any) -> None:
    """413 by what has arrived, whatever was declared; the rest is not waited for."""
    installed.deploy("delay", 1)
    client = start(max_body_bytes=100)
    assert client.chunks("POST", PATH, [b"x" * 60, b"x" * 60, None], {}).status == 413
    assert client.chunks("POST", PATH, [b"x" * 101], {}).status == 413
    assert client.chunks("POST", PATH, [b"x" * 50, b"x" * 50], {}).status == 400


def test_a_body_that_does_not_arrive_in_time_is_given_up(installed: Any, start: Any) -> None:
    """408, and the connection is closed."""
    installed.deploy("delay", 1)
    reply = start(timeout_s=0.01).chunks("POST", PATH, [b"{", None], {})
    assert (reply.status, reply.headers["connection"]) == (408, "close")


def test_too_many_waiting_requests_are_refused_with_a_time_to_return(client: Any) -> None:
    """503 and Retry-After, before any work is done."""
    client.app.waiting = range(client.app.options.max_waiting + 1)
    reply = client.post(PATH, {"inputs": [ROW]})
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")


def test_a_batch_that_takes_too_long_is_given_up(installed: Any, start: Any) -> None:
    """504 when a large batch has no answer after timeout_s, here because another one is before it."""
    installed.deploy("delay", 1)
    client, release = start(timeout_s=0.05), threading.Event()
    client.executor.submit(release.wait)
    try:
        assert client.post(PATH, {"inputs": [ROW] * 20_000}).status == 504
    finally:
        release.set()


def test_a_journal_that_cannot_be_written_costs_no_answer(installed: Any, start: Any) -> None:
    """The answer goes out, the row counts as dropped, readiness says so."""
    installed.deploy("delay", 1)
    client = start()
    for path in client.home.journal.iterdir():
        path.unlink()
    client.home.journal.rmdir()
    client.home.journal.write_text("not a folder")
    assert client.post(PATH, {"inputs": [ROW, ROW]}).status == 200
    assert client.metric('flyball_journal_records_total{result="dropped"}') == 2.0
    ready = client.get("/readyz")
    assert ready.status == 200
    assert "journal of predictions" in ready.json()["degraded"][0]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "key", "timestamp", "columns", "data", "hour", "distance"]), inner)
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200) | st.fixed_dictionaries({"inputs": _JSON}, optional={"key": _JSON, "timestamp": _JSON})
)
def test_whatever_is_sent_is_never_a_fault_of_the_server(client: Any, body: Any) -> None:
    """Any bytes, and any JSON of the right outline: an answer or a refusal, never 500."""
    try:
        reply = client.post(PATH, body)
    except TypeError:
        return  # an integer that orjson does not write
    assert reply.status in (200, 400, 422)


def test_predictions_are_finite_probabilities(client: Any) -> None:
    """Values far outside training are answered."""
    (value,) = client.post(PATH, {"inputs": [{"hour": 1e30, "distance": -1e30}]}).json()["predictions"]
    assert value is None or (math.isfinite(value) and 0.0 <= value <= 1.0)

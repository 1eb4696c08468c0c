"""What becomes of a served row's record: written, dropped, sampled out; and what a refusal leaves behind."""

from __future__ import annotations

import shutil
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.serving.cells import Cells
from flyball.serving.metrics import Metrics
from flyball.serving.options import Options, parse_worker, worker_argv
from flyball.serving.refusals import BURST
from flyball.serving.sampling import chosen
from flyball.store.ids import derived_id

ROW = {"hour": 18.0, "distance": 760.5}
PATH = "/models/delay/predict"
RECORDS = "flyball_journal_records_total"


def accounts(client: Any) -> dict[str, float]:
    """Rows by what became of their record, and all of them."""
    results = ("written", "dropped", "sampled_out")
    found = {result: client.metric(f'{RECORDS}{{result="{result}"}}') for result in results}
    return {**found, "rows": client.metric('flyball_rows_total{model="delay",variant="live",version="1"}')}


def test_the_share_that_is_chosen_is_the_share_that_was_asked_for() -> None:
    """Of 20,000 ids a tenth, within four standard errors (4 x 42)."""
    ids = [derived_id(str(number)) for number in range(20_000)]
    assert abs(len(chosen(ids, 0.1)) - 2_000) < 170
    assert chosen(ids, 1.0) == list(range(20_000))


@given(st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), unique=True), st.floats(0.001, 0.999))
def test_an_id_falls_the_same_way_in_any_company(ids: list[str], share: float) -> None:
    """What is chosen among many is what is chosen alone; a larger share chooses all of a smaller one's."""
    kept = {ids[row] for row in chosen(ids, share)}
    assert kept == {item for item in ids if chosen([item], share)}
    assert kept >= {ids[row] for row in chosen(ids, share / 2)}


def test_a_sampled_journal_keeps_its_share_of_the_rows(installed: Any, start: Any) -> None:
    """Rows of one request fall each by its own id; those left out are counted; the answer has all."""
    installed.deploy("delay", 1)
    client = start(sample={"delay": 0.25})
    answer = client.post(PATH, {"inputs": [ROW] * 400, "key": [str(row) for row in range(400)]}).json()
    (line,) = client.journal()
    kept = chosen(answer["ids"], 0.25)
    assert line["ids"] == [answer["ids"][row] for row in kept]
    assert line["key"] == [str(row) for row in kept]
    assert line["prediction"] == [answer["predictions"][row] for row in kept]
    assert line["features"]["hour"] == [18.0] * len(kept)
    assert accounts(client) == {"written": len(kept), "dropped": 0, "sampled_out": 400 - len(kept), "rows": 400}


def test_a_sampled_line_holds_no_rows_that_were_left_out(installed: Any, start: Any) -> None:
    """Neither as columns nor in the text they were asked in."""
    installed.deploy("delay", 1)
    client = start(sample={"delay": 0.5})
    answer = client.post(PATH, {"inputs": [{**ROW, "hour": hour % 24} for hour in range(100)]}).json()
    (line,) = client.journal()
    assert line["features"]["hour"] == [row % 24 for row in chosen(answer["ids"], 0.5)]
    assert "inputs" not in line


def test_single_rows_are_sampled_too_and_a_retry_falls_the_same_way(installed: Any, start: Any) -> None:
    """With an Idempotency-Key the ids repeat, and so does the choice."""
    installed.deploy("delay", 1)
    client = start(sample={"delay": 0.5})
    kept = 0
    for number in range(40):
        for _ in range(2):
            (identity,) = client.post(PATH, {"inputs": [ROW]}, idempotency_key=f"k{number}").json()["ids"]
        kept += len(chosen([identity], 0.5))
    assert 0 < kept < 40
    assert accounts(client) == {"written": 2 * kept, "dropped": 0, "sampled_out": 80 - 2 * kept, "rows": 80}


def test_shadows_follow_the_choice_of_the_sample(installed: Any, start: Any) -> None:
    """A shadow's line has the rows that the live version's has, and there is none where that has none."""
    installed.deploy("delay", 1, shadow=(2,))
    client = start(sample={"delay": 0.3})
    for _ in range(10):
        client.post(PATH, {"inputs": [ROW] * 3})
    by_role: dict[str, list[Any]] = {"live": [], "shadow": []}
    for line in client.journal():
        by_role[line["role"]].append(line["ids"])
    assert by_role["live"]
    assert by_role["live"] == by_role["shadow"]


def test_other_models_are_not_sampled(installed: Any, start: Any) -> None:
    """A share belongs to one model."""
    installed.deploy("delay", 1)
    client = start(sample={"price": 0.001})
    client.post(PATH, {"inputs": [ROW]})
    assert len(client.journal()) == 1


def test_a_durable_answer_is_in_the_journal_and_counted_when_it_leaves(installed: Any, start: Any) -> None:
    """It waits for its fsync; afterwards nothing waits."""
    installed.deploy("delay", 1)
    client = start(durable=("delay",))
    assert client.app.deployed.direct == {}
    answer = client.post(PATH, {"inputs": [ROW] * 2}).json()
    assert [line["ids"] for line in client.journal()] == [answer["ids"]]
    assert accounts(client) == {"written": 2, "dropped": 0, "sampled_out": 0, "rows": 2}
    assert client.metric("flyball_journal_waiting") == 0


def test_outcomes_of_a_durable_server_are_kept_before_they_are_accepted(installed: Any, start: Any) -> None:
    """202 means written and synced; 503 where that failed."""
    installed.deploy("delay", 1)
    client = start(durable=("delay",))
    outcome = {"outcomes": [{"id": "x", "value": 1}]}
    assert client.post("/models/delay/outcomes", outcome).status == 202
    assert len(client.journal("outcomes")) == 1
    shutil.rmtree(client.home.journal)
    (client.home.journal).touch()
    assert client.post("/models/delay/outcomes", outcome).status == 503


def test_rows_without_a_place_to_be_written_are_dropped_and_answered(client: Any) -> None:
    """The folder is a file: answers go on, counted as dropped; readiness says so and stays 200."""
    shutil.rmtree(client.home.journal)
    client.home.journal.touch()
    assert client.post(PATH, {"inputs": [ROW] * 3}).status == 200
    assert accounts(client) == {"written": 0, "dropped": 3, "sampled_out": 0, "rows": 3}
    ready = client.get("/readyz")
    assert ready.status == 200
    assert "the journal of predictions sheds records" in ready.json()["degraded"][0]


def test_rows_that_waited_when_their_worker_was_killed_were_dropped(tmp_path: Any) -> None:
    """Who takes the dead one's place counts them so; what had its fate before keeps it."""
    cells = Cells(tmp_path, 0)
    counts = Metrics(cells).counts("delay", 1, "live")
    counts.answered(5, 0.001, "waiting")
    counts.answered(3, 0.001, "waiting")
    counts.settled(3, written=True)
    cells.close()
    successor = Cells(tmp_path, 0)
    Metrics(successor)
    found = {name[-1]: successor.values[index] for name, index in successor.named("rows").items()}
    assert found == {"written": 3.0, "dropped": 5.0, "sampled_out": 0.0, "waiting": 0.0}
    successor.close()


@pytest.mark.parametrize(
    ("path", "body", "model", "version", "status", "reason", "columns"),
    [
        (PATH, b'{"inputs":[{"hour":"late","distance":1}]}', "delay", 1, 422, "contract", ["hour"]),
        (PATH, b'{"inputs":[{"hour":"late","distance":"far"}]}', "delay", 1, 422, "contract", ["hour", "distance"]),
        (PATH, b'{"inputs":[{"hour":1,"distance":1,"another":1}]}', "delay", 1, 422, "contract", []),
        (PATH, b"{", "delay", 1, 400, "not-json", []),
        ("/models/delay/outcomes", b"{", "delay", 1, 400, "not-json", []),
        ("/models/none/predict", b"{}", "-", None, 404, "no-such-model", []),
    ],
)
def test_a_refusal_leaves_a_record_without_values(
    client: Any,
    path: str,
    body: bytes,
    model: str,
    version: int | None,
    status: int,
    reason: str,
    columns: list[str],
) -> None:
    """Which model, which status, why, which of the model's columns; who asked, under which id, on which route."""
    assert client.send("POST", path, body, {"x-request-id": "r-1"}).status == status
    (line,) = client.journal("errors")
    assert (line["model"], line["version"], line["status"], line["reason"]) == (model, version, status, reason)
    assert line["columns"] == columns
    assert (line["request_id"], line["caller"]) == ("r-1", "")
    assert line["route"] == f"/models/{{model}}/{path.rpartition('/')[2]}"
    assert client.metric('flyball_error_records_total{result="written"}') == 1


def test_a_path_that_is_not_there_leaves_a_record_without_the_path(client: Any) -> None:
    """The path is the client's text."""
    client.get("/secret")
    (line,) = client.journal("errors")
    assert (line["model"], line["reason"], line["route"]) == ("-", "no-such-route", "")


def test_a_flood_of_refusals_is_shed_and_counted(client: Any) -> None:
    """A burst is recorded in full; of the rest so many a second."""
    asked = int(BURST) + 300
    for _ in range(asked):
        client.send("POST", PATH, b"{")
    written = client.metric('flyball_error_records_total{result="written"}')
    shed = client.metric('flyball_error_records_total{result="shed"}')
    assert written + shed == asked
    assert written == len(client.journal("errors")) >= BURST
    assert shed > 0


def test_the_log_names_places_but_no_text_of_the_client(client: Any) -> None:
    """A column that the model does not have is the client's text, and becomes a question mark."""
    client.post(PATH, {"inputs": [{**ROW, "my-secret": 1}]})
    client.post(PATH, {"inputs": [{"hour": "my-secret", "distance": 1.0}]})
    assert "my-secret" not in str(client.log)
    assert client.log[1]["where"] == ["inputs.0.hour"]


def test_a_model_whose_bundle_never_loaded_is_unavailable_not_unknown(installed: Any, start: Any) -> None:
    """503 with what is wrong and when to come back; an unknown one stays 404."""
    installed.deploy("delay", 1)
    (installed.own("delay-1") / "model.onnx").write_bytes(b"broken")
    client = start()
    reply = client.post(PATH, {"inputs": [ROW]})
    assert (reply.status, reply.json()["type"]) == (503, "/docs#not-loaded")
    assert "delay: v1 cannot be loaded, the model cannot answer" in reply.json()["detail"]
    assert int(reply.headers["retry-after"]) > 0
    assert client.journal("errors")[0]["model"] == "delay"
    assert client.post("/models/none/predict", {"inputs": [ROW]}).status == 404


def test_what_workers_are_told_of_journals_comes_through_their_command_line(tmp_path: Any) -> None:
    """Durable models and shares."""
    options = Options(durable=("a", "b"), sample={"a": 0.1, "c": 0.25})
    assert parse_worker(worker_argv(tmp_path, 3, 0, options)).options == options
    assert orjson.dumps(options.sample) == b'{"a":0.1,"c":0.25}'

"""Promote and roll back over the API and by the page's form, with bundles that really load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType

import onnx
import orjson
import pytest
from onnx import TensorProto, helper

from flyball.dashboard import view
from flyball.engine.bundle import write_bundle
from flyball.engine.contract import Contract, Feature
from flyball.registry.audit import entries
from flyball.registry.codec import dump
from flyball.registry.tokens import create_token
from flyball.registry.versions import version
from flyball.store import Database, Home

NOW = datetime(2013, 7, 1, tzinfo=UTC)


def bundle_files() -> dict[str, bytes]:
    """A regression that answers its only feature."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("numbers", "answer")]
    graph = helper.make_graph([helper.make_node("Identity", ["numbers"], ["answer"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    contract = Contract(
        model="churn",
        task="regression",
        features=(Feature(name="visits", kind="number", nullable=False, low=0.0, high=9.0),),
        classes=(),
        positive=None,
        example={"visits": 2.0},
    )
    return {"model.onnx": bytes(model.SerializeToString()), "contract.json": orjson.dumps(contract.to_json())}


@pytest.fixture
def ready(home: Home, database: Database, bench: ModuleType) -> Home:
    """`churn` with v1, then v2 live, both loadable."""
    bench.fill(home, database, "churn", days=31)
    for number in (1, 2):
        found = version(database, "churn", number)
        digest = write_bundle(_parent(home, found.bundle), bundle_files())
        with database.write() as tx:
            tx.run(
                "UPDATE version SET record = :record WHERE number = :number",
                record=dump(replace(found, digest=digest)),
                number=number,
            )
    return home


def _parent(home: Home, bundle: str):
    folder = home.path / bundle
    folder.parent.mkdir(parents=True)
    return folder


@pytest.fixture
def token(database: Database) -> str:
    return create_token(database, "ann", "operator", NOW)


@pytest.fixture
def server(ready: Home, bench: ModuleType) -> Iterator[object]:
    with bench.serving(ready) as (server, _):
        yield server


def test_promote_and_roll_back_are_moves_with_a_name_and_a_reason(
    ready: Home, token: str, server, database: Database
) -> None:
    """v2 to v1 by API, back to v2 by the page's form; each audited as the token's name."""
    bearer = {"Authorization": f"Bearer {token}"}
    promoted = server.ask(
        "/api/models/churn/promote",
        method="POST",
        body='{"version": 1, "why": "v2 misses LGA"}',
        Content_Type="application/json",
        **bearer,
    )
    assert (promoted.status, promoted.json["live"]) == (200, 1)
    back = server.ask("/models/churn/rollback", method="POST", body="why=it+was+the+feed", **bearer)
    assert (back.status, back.headers["Location"]) == (303, "/models/churn")
    card = view.card(ready, database, "churn")
    assert (card.live, card.who, card.why) == (2, "ann", "it was the feed")
    assert [(item.act, item.who, item.why) for item in entries(database, model="churn", limit=2)] == [
        ("rollback", "ann", "it was the feed"),
        ("promote", "ann", "v2 misses LGA"),
    ]


def test_what_its_gate_refused_is_promoted_only_where_that_is_said(token: str, server, database: Database) -> None:
    """409 with the verdict's sentence; with the field in the POST it goes live, and the audit says despite what."""
    with database.write() as tx:
        tx.run("UPDATE decision SET verdict = 'refused' WHERE kind = 'gate' AND subject = 'v1'")
    asks = {"method": "POST", "Content_Type": "application/json", "Authorization": f"Bearer {token}"}
    refused = server.ask("/api/models/churn/promote", body='{"version": 1, "why": "try"}', **asks)
    assert refused.status == 409
    assert "v1 of churn was refused by its gate" in refused.json["detail"]
    body = '{"version": 1, "why": "try", "despite_gate": true}'
    assert server.ask("/api/models/churn/promote", body=body, **asks).json["live"] == 1
    newest = entries(database, model="churn", limit=1)[0]
    assert (newest.gate, newest.evidence["despite_gate"]) == ("refused", True)


def test_what_is_live_already_is_not_promoted_again(token: str, server) -> None:
    """422, and the message says since when."""
    answer = server.ask(
        "/api/models/churn/promote",
        method="POST",
        body='{"version": 2, "why": "again"}',
        Content_Type="application/json",
        Authorization=f"Bearer {token}",
    )
    assert answer.status == 422
    assert "live already" in answer.json["detail"]


def test_a_version_whose_bundle_was_changed_does_not_go_live(
    ready: Home, token: str, server, database: Database
) -> None:
    """It is loaded and checked before any stage moves."""
    (ready.path / version(database, "churn", 1).bundle / "model.onnx").write_bytes(b"other")
    answer = server.ask(
        "/api/models/churn/rollback",
        method="POST",
        body='{"why": "x"}',
        Content_Type="application/json",
        Authorization=f"Bearer {token}",
    )
    assert answer.status == 500
    assert "model.onnx" in answer.json["detail"]
    assert view.card(ready, database, "churn").live == 2


def test_a_version_page_shows_what_it_accepts(token: str, server) -> None:
    """From the bundle's contract."""
    text = server.ask("/models/churn/versions/1", Authorization=f"Bearer {token}").text
    assert "visits" in text
    assert "0.000 to 9.000" in text

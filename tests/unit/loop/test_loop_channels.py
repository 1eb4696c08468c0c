"""What each kind of channel sends, byte by byte; and how long a failed one waits."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flyball.loop.channels import alertmanager, mail, pagerduty, slack, webhook
from flyball.loop.channels.kinds import read_secrets
from flyball.loop.channels.message import Message, details, read_message, sparkline
from flyball.loop.channels.request import Rejected
from flyball.loop.deliveries import wait_s
from flyball.project.records import AlertSettings, Channel

NOW = datetime(2013, 7, 10, 3, tzinfo=UTC)
SETTINGS = AlertSettings(
    channels=(), routes={}, link="https://fly.example.org/", runbook="https://wiki.example.org/late"
)
CHANNEL = Channel(name="ops", kind="slack")


def message(**changed: Any) -> Message:
    payload: dict[str, Any] = {
        "key": "late:performance:1",
        "model": "late",
        "name": "performance",
        "severity": "critical",
        "status": "firing",
        "title": "late: performance below its promise <!channel>",
        "at": "2013-07-10T00:00:00.000000Z",
        "since": "2013-07-10T00:00:00.000000Z",
        "evidence": {"features": ["wind", "rain"], "slice": "origin = LGA"},
        "context": {
            "live": 7,
            "before": 6,
            "since": "2013-07-08T04:00:00.000000Z",
            "who": "flyball",
            "rollback": "flyball rollback late",
            "recent": {"metric": "auc", "values": [0.7, 0.69, 0.61]},
        },
    }
    return read_message({**payload, **changed}, SETTINGS)


def test_the_details_suffice_at_three_in_the_morning() -> None:
    """Columns, slice, course, versions, the command to type, where to look."""
    assert details(message()) == [
        "Columns: wind, rain",
        "Worst slice: origin = LGA",
        "auc, last 3 days: █▇▁ now 0.61",
        "Live: v7 since 2013-07-08T04:00Z, by flyball (before: v6)",
        "To put v6 back: flyball rollback late",
        "Chart and evidence: https://fly.example.org/models/late",
        "Runbook: https://wiki.example.org/late",
    ]


def test_a_line_of_equal_values_is_flat() -> None:
    assert sparkline([2.0, 2.0]) == "▄▄"


def test_slack_gets_text_and_blocks_within_its_limits_and_no_mention() -> None:
    """One message for all; a title cannot call a whole channel."""
    many = [message(title=f"<!channel> {'x' * 9000}", key=f"late:drift:{number}") for number in range(12)]
    (request,) = slack.requests(many, CHANNEL, {"url_env": "https://hooks.example.org/T/B/X"}, NOW)
    body = json.loads(request.body)
    assert body["text"].startswith("12 alerts; critical: &lt;!channel&gt;")
    assert "<!channel>" not in json.dumps(body["blocks"][1:])
    assert len(body["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in body["blocks"])
    assert len(body["blocks"][0]["text"]["text"]) <= 150


def test_pagerduty_keeps_one_key_from_trigger_to_resolve() -> None:
    bodies = [
        json.loads(pagerduty.requests([message(status=status)], CHANNEL, {"key_env": "R" * 32}, NOW)[0].body)
        for status in ("firing", "acknowledged", "resolved")
    ]
    assert [item["event_action"] for item in bodies] == ["trigger", "acknowledge", "resolve"]
    assert {item["dedup_key"] for item in bodies} == {"late:performance:1"}
    assert bodies[0]["payload"]["severity"] == "critical"
    assert len(pagerduty.dedup_key("x" * 256)) == 64


def test_alertmanager_is_told_the_end_by_a_time_that_has_come() -> None:
    """The labels are the same, so it is the same alert."""
    urls = {"url_env": "http://am:9093/"}
    fired, ended = (
        alertmanager.requests([message(status=status)], CHANNEL, urls, NOW)[0] for status in ("firing", "resolved")
    )
    assert fired.url == "http://am:9093/api/v2/alerts"
    (one,), (two,) = json.loads(fired.body), json.loads(ended.body)
    assert one["labels"] == two["labels"]
    assert one["endsAt"] == "2013-08-09T03:00:00.000000Z"
    assert two["endsAt"] == "2013-07-10T03:00:00.000000Z"


def test_a_mail_has_one_message_id_at_every_try_and_no_header_of_a_title() -> None:
    channel = Channel(name="post", kind="email", host="h", sender="Fly <fly@example.org>", to=("a@example.org",))
    bad = message(title="broken\r\nBcc: everyone@example.org")
    (one,) = mail.requests([bad], channel, {}, NOW)
    (two,) = mail.requests([bad], channel, {}, NOW)
    assert one.message["Message-ID"] == two.message["Message-ID"]
    assert one.message["Bcc"] is None
    assert "flyball rollback late" in one.message.get_content()


def test_a_webhook_is_signed_where_a_secret_is_named() -> None:
    (request,) = webhook.requests([message()], CHANNEL, {"url_env": "http://h", "secret_env": "s3"}, NOW)
    signature = hmac.new(b"s3", request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Flyball-Signature"] == f"sha256={signature}"
    assert "http://h" not in repr(request)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(Rejected, match="environment variable OPS is not set"):
        read_secrets(Channel(name="ops", kind="slack", url_env="OPS"), {"OPS": " "})


@pytest.mark.parametrize(("attempts", "full_s"), [(1, 10), (2, 20), (5, 160), (10, 3600), (500, 3600)])
def test_a_wait_doubles_up_to_an_hour_less_a_part(attempts: int, full_s: float) -> None:
    waits = [wait_s(batch, "ops", attempts) for batch in range(50)]
    assert full_s / 2 <= min(waits) < max(waits) < full_s
    assert wait_s(1, "ops", attempts, retry_after_s=5000) == 5000

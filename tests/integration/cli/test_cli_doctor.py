"""`flyball doctor` over homes that are well and homes that are not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flyball.cli.main import main
from flyball.loop.deliveries import plan
from flyball.project.create import create_project
from flyball.store import Home, open_database


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, and nothing in the environment."""
    for name in ("FLYBALL_HOME", "FLYBALL_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    create_project(tmp_path / "churn", "churn")
    return tmp_path / "churn"


def looked(project: Path) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["doctor", "--project", str(project), "--json"])
    return result.exit_code, {item["what"]: item for item in json.loads(result.stdout)["findings"]}


def test_a_new_project_on_this_machine_is_well(project: Path) -> None:
    """Exit 0, nothing broken, and looking makes no home."""
    code, found = looked(project)
    assert (code, [name for name, item in found.items() if item["state"] == "broken"]) == (0, [])
    assert found["home"]["told"].endswith("churn/.flyball, not made yet")
    assert not (project / ".flyball").exists()


def test_a_database_that_is_not_one_is_broken(project: Path) -> None:
    """Exit 1, naming the file and the mend; it is not touched."""
    home = Home(project / ".flyball").made()
    home.database.write_bytes(b"not a database at all" * 100)
    code, found = looked(project)
    assert (code, found["database"]["state"]) == (1, "broken")
    assert str(home.database) in found["database"]["mend"]
    assert home.database.read_bytes().startswith(b"not a database")


def test_a_good_database_is_told_with_its_size(project: Path) -> None:
    """What is there and how large."""
    open_database(Home(project / ".flyball")).close()
    _, found = looked(project)
    assert found["database"]["state"] == "ok"
    assert found["database"]["told"].endswith(" MiB")


def test_a_tracking_server_that_does_not_answer_is_broken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address stays out of the report: it may hold a password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    code, found = looked(project)
    assert (code, found["MLflow"]["state"]) == (1, "broken")
    assert "secret" not in json.dumps(found)


def test_findings_of_the_project_are_told(project: Path) -> None:
    """The first of them, and the verb that tells all."""
    settings = project / "flyball.toml"
    settings.write_text(settings.read_text() + "\n[serving]\nworker = 3\n")
    code, found = looked(project)
    assert (code, found["project"]["mend"]) == (1, "`flyball check` tells them all")
    assert "flyball.toml:" in found["project"]["told"]


def test_every_broken_finding_has_its_mend_printed(project: Path) -> None:
    """For people: the table, then what to do."""
    (project / "flyball.toml").write_text("[model\n")
    result = CliRunner().invoke(main, ["doctor", "--project", str(project)])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "project: `flyball check` tells them all"


def test_messages_that_a_channel_refused_are_told_with_their_mend(
    project: Path, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note a channel, in either database; what waits, or has come, is none."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    database = open_database(Home(project / ".flyball"), environ)
    at = datetime(2026, 1, 5, 3, tzinfo=UTC)
    with database.write() as tx:
        for event, (channel, status) in enumerate([("ops", "refused"), ("ops", "refused"), ("team", "waiting")], 1):
            plan(
                tx,
                event=event,
                channel=channel,
                model="churn",
                alert_key="churn:drift:1",
                status=status,
                next_at=at,
                error="alert channel ops: slack failed (answered 404)",
            )
    database.close()
    code, found = looked(project)
    assert (code, found["alerts to ops"]["state"], "alerts to team" in found) == (0, "note", False)
    assert found["alerts to ops"]["told"] == "not taken: 2 (alert channel ops: slack failed (answered 404))"
    assert found["alerts to ops"]["mend"] == (
        "mend the channel, try it with `flyball alert test ops`, then `flyball alert retry ops`"
    )


def test_a_home_of_an_earlier_version_is_left_as_it_is(project: Path) -> None:
    """Looking for refused messages makes no table."""
    home = Home(project / ".flyball").made()
    with closing(sqlite3.connect(home.database)) as connection:
        connection.execute("CREATE TABLE version (model TEXT)")
        connection.commit()
    before = home.database.read_bytes()
    _, found = looked(project)
    assert not any(name.startswith("alerts to") for name in found)
    assert home.database.read_bytes() == before

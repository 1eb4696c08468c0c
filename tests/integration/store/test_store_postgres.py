"""What only a server can do: go away and come back, refuse, be shared, hold a password."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flyball.errors import Mistake, Unavailable
from flyball.store import Database, Home, emit, open_database, utcnow
from flyball.store.database import DATABASE_URL
from flyball.store.migrate import migrations
from flyball.store.outbox import pending
from tests.integration.postgres import Server


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.new_database()


@pytest.fixture
def database(tmp_path: Path, url: str) -> Iterator[Database]:
    opened = open_database(Home(tmp_path / "h"), {DATABASE_URL: url})
    yield opened
    opened.close()


def tell(database: Database, dedup: str) -> None:
    with database.write() as tx:
        emit(tx, kind="k", payload={}, dedup=dedup, at=utcnow())


def test_after_a_restart_of_the_server_reads_and_writes_go_on(tmp_path: Path, own: Server) -> None:
    """While it is away both are Unavailable; afterwards the connections are made anew, and nothing is lost."""
    database = open_database(Home(tmp_path / "h"), {DATABASE_URL: own.new_database()})
    tell(database, "before")
    own.stop()
    with pytest.raises(Unavailable, match="cannot be read or written"):
        pending(database)
    with pytest.raises(Unavailable, match="cannot be read or written"):
        tell(database, "never")
    own.start()
    tell(database, "after")
    assert [event.kind for event in pending(database)] == ["k", "k"]

    own.stop()
    own.start()
    assert len(pending(database)) == 2
    database.close()


def test_a_write_that_loses_its_connection_half_way_changes_nothing(url: str, database: Database) -> None:
    """Unavailable, not tried again behind the caller's back; the next write is a new one."""

    def cut_off() -> None:
        with database.write() as tx:
            emit(tx, kind="k", payload={}, dedup="d", at=utcnow())
            database.all(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            emit(tx, kind="k", payload={}, dedup="e", at=utcnow())

    with pytest.raises(Unavailable):
        cut_off()
    assert pending(database) == []
    tell(database, "d")
    assert len(pending(database)) == 1


def test_keys_leave_no_gap_where_a_transaction_failed(database: Database) -> None:
    """As SQLite's: a sequence would count what was rolled back."""
    for number in range(3):
        try:
            with database.write() as tx:
                key = tx.insert("INSERT INTO lake_batch (plan) VALUES (:plan)", plan="{}")
                if number == 1:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            continue
    assert (key, database.last_number("lake_batch")) == (2, 2)


def test_a_newer_schema_is_refused(tmp_path: Path, url: str, database: Database, postgres: Server) -> None:
    """As a file of a later release is."""
    name = urlsplit(url).path.strip("/")
    postgres.psql(name, f"INSERT INTO schema_version VALUES ({max(migrations()) + 1})")
    with pytest.raises(Mistake, match="written by a newer Flyball; upgrade"):
        open_database(Home(tmp_path / "h"), {DATABASE_URL: url})


def test_an_older_schema_goes_on_and_says_that_nothing_was_copied(
    tmp_path: Path, url: str, database: Database, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The dump is the operator's; the rows stay."""
    tell(database, "kept")
    newest = max(migrations())
    assert newest == 10, "take back the newest migration below"
    name = urlsplit(url).path.strip("/")
    postgres.psql(
        name,
        f"DELETE FROM schema_version WHERE number = {newest}",
        "DROP TABLE delivery",
        "DROP TABLE silence",
        "ALTER TABLE alert DROP COLUMN acked_at",
        "ALTER TABLE alert DROP COLUMN acked_by",
    )
    with caplog.at_level(logging.WARNING, "flyball.store"):
        again = open_database(Home(tmp_path / "h"), {DATABASE_URL: url})
    assert "pg_dump" in caplog.text
    assert again.all("SELECT channel FROM delivery") == []
    assert len(pending(again)) == 1
    again.close()


def test_texts_sort_by_their_bytes(database: Database) -> None:
    """Whatever language the server speaks: as SQLite sorts them."""
    with database.write() as tx:
        for name in ("b", "B", "a", "_", "é"):
            tx.run("INSERT INTO segment (name, carried_bytes) VALUES (:name, :at)", name=name, at=2**40)
    rows = database.all("SELECT name, carried_bytes FROM segment ORDER BY name")
    assert [row["name"] for row in rows] == ["B", "_", "a", "b", "é"]
    assert {row["carried_bytes"] for row in rows} == {2**40}


def test_what_cannot_be_text_is_the_callers_mistake(database: Database) -> None:
    """PostgreSQL has no NUL in texts; the value is not repeated."""
    with pytest.raises(Mistake, match="cannot keep a value") as refused:
        tell(database, "hidden\0")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:qvxz/word@host/db",
        "postgresql://me:qvxz@word@host/db",
        "postgresql://me:12/word@host/db",
        "postgresql://me:qvxz?word@host/db",
        "postgresql://me:12?word@host/db",
        "postgresql://me:qvxz%zzword@host/db",
        "postgresql://me:qvxzword@127.0.0.1:9/db",
    ],
)
def test_no_part_of_a_password_is_in_an_error(tmp_path: Path, postgres: Server, url: str) -> None:
    """Not where the URL is misread either: a special character ends the password too early, and the rest looks like a host."""
    with pytest.raises((Mistake, Unavailable)) as refused:
        open_database(Home(tmp_path / "h"), {DATABASE_URL: url})
    told = str(refused.value)
    assert not [part for part in ("qvxz", "word@", "12/", "12?") if part in told], told


def test_the_password_is_not_in_what_a_database_looks_like(database: Database) -> None:
    """As in a traceback or a log."""
    assert "secret" not in repr(database)


def test_doctor_tells_a_server_that_answers_and_one_that_does_not(tmp_path: Path, url: str) -> None:
    """Exit 1 with a mend where it does not; its password is nowhere."""
    found = {}
    for name, given in (("there", url), ("away", url.replace("host=", "host=/nowhere/"))):
        command = [
            sys.executable,
            "-c",
            "from flyball.cli.main import main; main()",
            "doctor",
            "--json",
            "--home",
            str(tmp_path / "h"),
        ]
        done = subprocess.run(
            command, env={**os.environ, DATABASE_URL: given}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert "secret" not in done.stdout + done.stderr
        (found[name],) = (item for item in json.loads(done.stdout)["findings"] if item["what"] == "database")
    assert found["there"]["state"] == "ok"
    assert found["there"]["told"].startswith("PostgreSQL 1")
    assert (found["away"]["state"], DATABASE_URL in found["away"]["mend"]) == ("broken", True)


_IMPORTS = """
import sys
from pathlib import Path
import flyball.serving.worker
from flyball.store import Home, open_database
open_database(Home(Path(sys.argv[1])), {}).close()
print([name for name in sys.modules if name.startswith("psycopg") or name == "flyball.store.postgres"])
sys.modules["psycopg"] = None  # as if it were not installed
try:
    open_database(Home(Path(sys.argv[1])), {"FLYBALL_DATABASE_URL": "postgresql:///x"})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_psycopg_is_loaded_only_where_a_url_asks_for_it(tmp_path: Path) -> None:
    """A worker with a file never pays for it; where it is missing, the error names the extra."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS, str(tmp_path / "h")], capture_output=True, text=True, check=True
    )
    loaded, missing = done.stdout.splitlines()
    assert loaded == "[]"
    assert missing.startswith("Mistake")
    assert "'flyball[postgres]'" in missing

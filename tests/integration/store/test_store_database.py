"""The database under several processes, threads and releases."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyball.errors import Mistake, Unavailable
from flyball.store import Home, emit, find_home, moment, open_database, stamp
from flyball.store.lease import hold, holder_of, let_go
from flyball.store.migrate import migrations
from flyball.store.outbox import delivered, failed, pending

NOW = datetime(2013, 3, 1, tzinfo=UTC)


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """A database of a later release is never guessed at."""
    home = Home(tmp_path / "h")
    open_database(home).close()
    connection = sqlite3.connect(home.database)
    connection.execute(f"PRAGMA user_version = {max(migrations()) + 1}")
    connection.close()

    with pytest.raises(Mistake, match="written by a newer Flyball; upgrade"):
        open_database(home)


def test_eight_threads_opening_a_fresh_home_make_one_schema(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """The migration is one transaction; whoever comes second finds it done."""
    errors: list[BaseException] = []

    def opening() -> None:
        try:
            open_database(Home(tmp_path / "h"), environ).close()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it fails the test below
            errors.append(error)

    threads = [threading.Thread(target=opening) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_a_failed_transaction_leaves_nothing(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """All or nothing."""
    database = open_database(Home(tmp_path / "h"), environ)

    def half() -> None:
        with database.write() as tx:
            emit(tx, kind="k", payload={}, dedup="d", at=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()

    assert pending(database) == []
    database.close()


def test_an_event_is_told_once_and_kept_until_delivered(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """The same dedup twice is one event; a failure keeps it with its reason; delivery ends it."""
    database = open_database(Home(tmp_path / "h"), environ)
    with database.write() as tx:
        emit(tx, kind="k", payload={"a": 1}, dedup="d", at=NOW)
        emit(tx, kind="k", payload={"a": 2}, dedup="d", at=NOW)
    (event,) = pending(database)
    with database.write() as tx:
        failed(tx, event, error="no route")
    (again,) = pending(database)

    assert (again.payload, again.attempts) == ({"a": 1}, 1)
    with database.write() as tx:
        delivered(tx, again, at=NOW)
    assert pending(database) == []
    database.close()


def test_a_lease_has_one_holder_until_it_runs_out(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """Renewed by its holder, refused to others, free after its time or when let go."""
    database = open_database(Home(tmp_path / "h"), environ)

    assert hold(database, "loop", "a", now=NOW, for_s=60)
    assert not hold(database, "loop", "b", now=NOW + timedelta(seconds=59), for_s=60)
    assert hold(database, "loop", "a", now=NOW + timedelta(seconds=59), for_s=60)
    assert hold(database, "loop", "b", now=NOW + timedelta(seconds=119), for_s=60)
    let_go(database, "loop", "a")
    assert holder_of(database, "loop", now=NOW + timedelta(seconds=120)) == "b"
    database.close()


def test_a_url_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A database that cannot be honoured is an error, never ignored; what was given is not repeated."""
    with pytest.raises(Mistake, match="must begin with postgresql://") as refused:
        open_database(Home(tmp_path / "h"), {"FLYBALL_DATABASE_URL": "mysql://me:secret@host/x"})
    assert "secret" not in str(refused.value)


def test_stamps_sort_as_text_and_come_back() -> None:
    """Fixed width, UTC; a naive datetime is refused."""
    assert stamp(NOW) == "2013-03-01T00:00:00.000000Z"
    assert moment(stamp(NOW)) == NOW
    assert moment("2013-03-01") == NOW
    with pytest.raises(ValueError, match="no time zone"):
        stamp(datetime(2013, 3, 1))
    with pytest.raises(ValueError, match="no time zone"):
        moment("2013-03-01T10:00")


def test_the_home_is_named_else_found_upward_else_here(tmp_path: Path) -> None:
    """--home, FLYBALL_HOME, the nearest .flyball upward, .flyball here: in this order."""
    (tmp_path / ".flyball").mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)

    assert find_home(deep, {}).path == tmp_path / ".flyball"
    assert find_home(deep, {"FLYBALL_HOME": str(tmp_path / "x")}).path == tmp_path / "x"
    assert find_home(deep, {"FLYBALL_HOME": "/x"}, tmp_path / "y").path == tmp_path / "y"


@pytest.mark.parametrize("earlier", [False, True])
def test_who_may_only_read_reads_and_is_told_so_when_writing(*, earlier: bool) -> None:
    """A folder of somebody else's: nothing is left beside the file, and a change is refused in a sentence; so is a file
    whose schema is to be brought up to date.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "h")
        database = open_database(home)
        with database.write() as tx:
            emit(tx, kind="alert", payload={"n": 1}, dedup="1", at=NOW)
            if earlier:
                tx.run(f"PRAGMA user_version = {max(migrations()) - 1}")
        database.close()
        paths = [Path(folder), *Path(folder).rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            assert _as_a_stranger(lambda: _open_earlier(home) if earlier else _read_and_write(home)) == 0
            assert not [path for path in home.path.iterdir() if path.name.startswith("flyball.db-")]
        finally:
            for path in paths:
                path.chmod(0o755)


def _open_earlier(home: Home) -> None:
    with pytest.raises(Unavailable, match="is of an earlier release, and this user may only read it"):
        open_database(home)


def _read_and_write(home: Home) -> None:
    database = open_database(home)
    assert len(pending(database)) == 1
    with (
        pytest.raises(Unavailable, match="this user may only read it"),
        database.write() as tx,
    ):
        emit(tx, kind="alert", payload={"n": 2}, dedup="2", at=NOW)


def _as_a_stranger(do: Callable[[], None]) -> int:
    """The exit status of a process that does it as nobody; as ourselves where we may not choose, for whom modes count too."""
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            do()
        except BaseException:  # noqa: BLE001 - the edge of a process
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

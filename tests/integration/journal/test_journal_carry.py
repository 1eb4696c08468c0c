"""Exactly once: the carrier killed at every point, twice at a time, over torn tails and retries."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from flyball.journal import lake
from flyball.journal.carry import TRANSITIONS, Carried
from flyball.journal.segment import Segment

DAY = datetime(2013, 3, 1, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)

#: Carries, and dies at its n-th transition (counted from 0); -1: never.
CARRIER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from flyball.journal.carry import carry
from flyball.store import Home, open_database

seen = []
def die(name):
    seen.append(name)
    os.write(1, name.encode() + b"\\n")
    if len(seen) == int(sys.argv[2]) + 1:
        os._exit(9)

home = Home(Path(sys.argv[1]))
carried = carry(home, open_database(home), now=datetime(2013, 3, 1, tzinfo=UTC), batch_bytes=2000, small_files=3,
    checkpoint=die)
os.write(2, f"{carried.predictions} {carried.outcomes}".encode())
"""


def carrier(journal: Any, die_at: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CARRIER, str(journal.home.path), str(die_at)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lake_ids(journal: Any) -> list[str]:
    with lake.connect(journal.home, "flights") as connection:
        return [row[0] for row in connection.execute("SELECT id FROM predictions ORDER BY id").fetchall()]


def dead_writer(journal: Any) -> None:
    """Its lines stay; the fixture goes on with a new segment."""
    journal.segment.close()
    journal.segment = Segment(journal.home.journal, "test")


def two_days(journal: Any) -> None:
    journal.predict("a", at=DAY)
    journal.predict("b", at=NEXT)
    journal.tell({"id": "a", "value": 1, "timestamp": DAY})
    dead_writer(journal)


#: What one batch of two dates and an outcome goes through.
STEPS = ("planned", *("drafted", "placed") * 3, "advanced", "swept")


@pytest.mark.parametrize("point", range(len(STEPS)), ids=[f"{i}-{name}" for i, name in enumerate(STEPS)])
def test_a_carrier_killed_anywhere_leaves_each_row_once(journal: Any, point: int) -> None:
    """Another carrier finishes the same batch: nothing lost, nothing twice, nothing left over."""
    two_days(journal)
    with carrier(journal, point) as killed:
        said = killed.communicate()[0].split()
    assert killed.returncode == 9
    assert tuple(said) == STEPS[: point + 1]

    journal.predict("c", at=DAY)
    carried = journal.carry()

    redone = point < STEPS.index("advanced")
    assert (carried.predictions, carried.outcomes, carried.duplicates) == ((3, 1, 0) if redone else (1, 0, 0))
    assert lake_ids(journal) == ["a", "b", "c"]
    assert lake.outcomes(journal.home, "flights", DAY, NEXT)["id"].to_pylist() == ["a"]
    assert list(journal.home.lake.rglob("*.draft")) == []
    assert list(journal.home.journal.glob("*.jsonl")) == [journal.segment.path]
    assert [row["name"] for row in journal.database.all("SELECT name FROM segment")] == [journal.segment.path.name]
    assert journal.database.all("SELECT id FROM lake_batch WHERE done_at IS NULL") == []
    assert journal.carry() == Carried()


#: What a batch goes through that makes its partition's third small file.
MERGE_STEPS = ("planned", "drafted", "placed", "advanced", "drafted", "merging", "merged")


@pytest.mark.parametrize("point", range(len(MERGE_STEPS)), ids=[f"{i}-{name}" for i, name in enumerate(MERGE_STEPS)])
def test_a_merge_killed_anywhere_shows_each_row_once(journal: Any, point: int) -> None:
    """Readers see the old files or the new one, also before another carrier finishes the merge."""
    for name in "ab":
        journal.predict(name, features={name: [name]})
        journal.carry()
    journal.predict("c")
    with carrier(journal, point) as killed:
        said = killed.communicate()[0].split()
    assert killed.returncode == 9
    assert tuple(said) == MERGE_STEPS[: point + 1]
    assert lake_ids(journal) == (["a", "b"] if point < STEPS.index("placed") else ["a", "b", "c"])

    journal.carry(small_files=3)

    journal.predict("d")
    journal.carry(small_files=3)
    assert lake_ids(journal) == ["a", "b", "c", "d"]
    assert not (journal.home.lake / ".merge.json").exists()
    assert lake.predictions(journal.home, "flights", DAY, NEXT)["features"].to_pylist()[:3] == [
        {"a": "a", "b": None, "x": None},
        {"a": None, "b": "b", "x": None},
        {"a": None, "b": None, "x": 1.0},
    ]


def test_small_files_are_merged_and_still_known(journal: Any) -> None:
    """One file instead of many, of the same lake; a retry of what is in it is still a duplicate."""
    for name in "abcd":
        journal.predict(name)
        journal.carry(small_files=4)
    (file,) = journal.home.lake.rglob("*.parquet")
    assert pq.read_schema(file).metadata[b"flyball.lake"] == b"1"
    journal.predict("a", "e")
    carried = journal.carry()
    assert (carried.predictions, carried.duplicates) == (1, 1)
    assert lake_ids(journal) == ["a", "b", "c", "d", "e"]


def test_every_transition_has_a_kill_point() -> None:
    """A transition added to the list without a kill above fails here."""
    assert {*STEPS, *MERGE_STEPS} == set(TRANSITIONS)


def test_two_carriers_share_the_work(journal: Any) -> None:
    """Started together over many batches, they carry each row once between them."""
    for n in range(60):
        journal.predict(f"{n:02}")
    with carrier(journal, -1) as one, carrier(journal, -1) as two:
        counts = [int(process.communicate()[1].split()[0]) for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    assert sum(counts) == 60
    assert lake_ids(journal) == [f"{n:02}" for n in range(60)]


def test_a_living_writers_unfinished_line_waits(journal: Any) -> None:
    """It may be completed at any moment; then it is carried."""
    line = journal.predict("a")
    with journal.segment.path.open("ab") as file:
        file.write(line.replace(b'"a"', b'"b"')[:-5])
        file.flush()
        assert journal.carry() == Carried(predictions=1, bytes=len(line))
        file.write(line[-5:])
    assert journal.carry() == Carried(predictions=1, bytes=len(line))
    assert lake_ids(journal) == ["a", "b"]


def test_a_dead_writers_unfinished_line_is_counted_and_skipped(journal: Any) -> None:
    """Even if only its newline is missing: it was never acknowledged."""
    line = journal.predict("a")
    with journal.segment.path.open("ab") as file:
        file.write(line.replace(b'"a"', b'"b"')[:-1])
    dead_writer(journal)
    assert journal.carry() == Carried(predictions=1, torn=1, bytes=2 * len(line) - 1)
    assert lake_ids(journal) == ["a"]
    assert list(journal.home.journal.glob("*.jsonl")) == [journal.segment.path]


def test_garbage_between_lines_is_counted_and_skipped(journal: Any) -> None:
    """A bad line never stands in a good one's way."""
    journal.predict("a")
    journal.segment.append(b"\xff{]\n")
    journal.segment.append(b'{"v":1,"kind":"predictions","model":"../up"}\n')
    journal.predict("b")
    carried = journal.carry()
    assert (carried.predictions, carried.torn) == (2, 2)
    assert lake_ids(journal) == ["a", "b"]


def test_nothing_to_carry_is_nothing_done(journal: Any) -> None:
    """No batch, no file; the living writer keeps its segment."""
    assert journal.carry() == Carried()
    assert journal.database.all("SELECT * FROM lake_batch") == []
    assert journal.segment.path.exists()


def test_a_living_writers_segment_is_kept_and_a_dead_ones_swept(journal: Any) -> None:
    """Only what is carried to its last byte and has no writer goes."""
    journal.predict("a")
    journal.carry()
    assert journal.segment.path.exists()
    dead_writer(journal)
    journal.predict("b")
    journal.carry()
    assert list(journal.home.journal.glob("*.jsonl")) == [journal.segment.path]


def test_a_long_journal_is_carried_in_batches(journal: Any) -> None:
    """Each batch takes about its share of bytes; a line longer than that goes alone."""
    for n in range(20):
        journal.predict(f"{n:02}")
    journal.predict(*(f"long-{n}" for n in range(200)))
    journal.predict("last")
    carried = journal.carry(batch_bytes=1000)
    assert carried.predictions == 221
    assert len(set(lake_ids(journal))) == 221
    assert carried.bytes == journal.segment.path.stat().st_size
    folder = journal.home.lake / "predictions" / "model=flights" / "date=2013-03-01"
    assert len(list(folder.glob("*.parquet"))) >= 7


def test_a_retry_in_the_same_batch_is_kept_once_as_received_last(journal: Any) -> None:
    """Same ids from two workers: the later answer is the one the client has."""
    journal.predict("a", received_at=DAY + timedelta(seconds=2), prediction=[0.9])
    journal.predict("a", received_at=DAY + timedelta(seconds=1), prediction=[0.1])
    assert journal.carry().predictions == 1
    assert lake.predictions(journal.home, "flights", DAY, NEXT)["prediction"].to_pylist() == [0.9]


def test_a_retry_in_a_later_batch_is_dropped(journal: Any) -> None:
    """What is in the lake stays; the newcomer is counted."""
    journal.predict("a", prediction=[0.1])
    journal.tell({"id": "a", "value": 1, "outcome_id": "same"})
    journal.carry()
    journal.predict("a", "b", prediction=[0.9, 0.9])
    journal.predict("a", role="shadow", version=2)
    journal.tell({"id": "a", "value": 0, "outcome_id": "same"})
    carried = journal.carry()
    assert (carried.predictions, carried.outcomes, carried.duplicates) == (2, 0, 2)
    table = lake.scored(journal.home, "flights", DAY, NEXT)
    assert table.select(["id", "prediction", "label"]).to_pylist() == [
        {"id": "a", "prediction": 0.1, "label": 1.0},
        {"id": "b", "prediction": 0.9, "label": None},
    ]


def test_a_segment_somebody_deleted_does_not_stop_the_batch(journal: Any) -> None:
    """The planned bytes are gone; that is counted, and the next batch goes on."""
    journal.predict("a")
    dead_writer(journal)
    with carrier(journal, 0) as killed:
        killed.communicate()
    (lost,) = [path for path in journal.home.journal.glob("*.jsonl") if path != journal.segment.path]
    size = lost.stat().st_size
    lost.unlink()
    journal.predict("b")
    carried = journal.carry()
    assert (carried.predictions, carried.lost_bytes) == (1, size)
    assert lake_ids(journal) == ["b"]


def test_a_lost_database_does_not_cost_the_lake(journal: Any) -> None:
    """Batches count from 1 again, and overwrite nothing; what is still in the journal is recognised."""
    journal.predict("a")
    journal.carry()
    with journal.database.write() as tx:
        tx.run("DELETE FROM segment")
        tx.run("DELETE FROM lake_batch")
        tx.run("DELETE FROM sqlite_sequence WHERE name = 'lake_batch'")
    journal.predict("b")
    carried = journal.carry()
    assert (carried.predictions, carried.duplicates) == (1, 1)
    assert lake_ids(journal) == ["a", "b"]


def test_files_say_which_lake_they_are_of(journal: Any) -> None:
    """The protocol number is in the Parquet metadata, the columns are typed."""
    journal.predict("a")
    journal.carry()
    (file,) = journal.home.lake.rglob("*.parquet")
    assert pq.read_schema(file).metadata[b"flyball.lake"] == b"1"
    assert file.parent.name == "date=2013-03-01"
    assert file.parent.parent.name == "model=flights"


def test_a_copy_of_the_lake_is_readable_elsewhere(journal: Any, tmp_path: Any) -> None:
    """Files carry everything; nothing in them points back."""
    journal.predict("a")
    journal.carry()
    other = type(journal.home)(tmp_path / "other").made()
    shutil.copytree(journal.home.lake, other.lake, dirs_exist_ok=True)
    assert lake.predictions(other, "flights", DAY, NEXT)["id"].to_pylist() == ["a"]

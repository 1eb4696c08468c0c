"""A segment against real deaths and a real full disk: what was acknowledged is in the file."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from flyball.journal import lake
from flyball.journal.segment import Segment

if TYPE_CHECKING:
    from pathlib import Path

#: Writes predictions w0, w1, … until it is killed, and says which are acknowledged.
ENDLESS = """
import os, sys
from pathlib import Path
from flyball.journal.line import encode_predictions
from flyball.journal.segment import Segment

AT = "2013-03-01T00:00:00.000000Z"
def line(name):
    return encode_predictions(model="flights", version=1, variant="v1", role="live", source="http", generation=1,
        request_id="r", ids=[name], timestamp=AT, received_at=AT, latency_ms=0.5, key=None,
        features={"text": ["x" * 300]}, prediction=[0.5], score=[0.5])

segment = Segment(Path(sys.argv[1]), "test")
"""
UNTIL_KILLED = """
n = 0
while True:
    name = f"{sys.argv[2]}-{n}"
    if segment.append(line(name)):
        os.write(1, name.encode() + b"\\n")
    n += 1
"""
#: Fills its file to the limit, then goes on with another limit until a line is taken again.
UNTIL_FULL = """
import json, resource, time
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
kept, n = [], 0
def one():
    global n
    n += 1
    taken = segment.append(line(str(n)))
    if taken:
        kept.append(str(n))
    return taken
while one():
    pass
error = segment.last_error
for _ in range(int(sys.argv[2])):
    one()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
deadline = time.monotonic() + 20
while not one() and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps({"kept": kept, "tried": n, "written": segment.written, "dropped": segment.dropped, "error": error,
    "last_error": segment.last_error}))
"""


def lake_ids(journal: Any) -> list[str]:
    with lake.connect(journal.home, "flights") as connection:
        return [row[0] for row in connection.execute("SELECT id FROM predictions").fetchall()]


def test_a_killed_writer_loses_nothing_it_acknowledged(journal: Any) -> None:
    """SIGKILL at any moment: every acknowledged line is carried once; at most the one being acknowledged comes on top."""
    acknowledged: list[str] = []
    for round_ in range(5):
        command = [sys.executable, "-c", ENDLESS + UNTIL_KILLED, str(journal.home.journal), str(round_)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            seen = writer.stdout.read(200 + 531 * round_)
            journal.carry()
            writer.send_signal(signal.SIGKILL)
            # A pipe keeps whole names: each was written by one call smaller than PIPE_BUF.
            acknowledged += (seen + writer.stdout.read()).decode().split()
    carried = journal.carry()
    found = lake_ids(journal)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 5
    assert carried.duplicates == 0
    assert [path.name for path in journal.home.journal.glob("*.jsonl")] == [journal.segment.path.name]


@pytest.mark.parametrize("more", [0, 3], ids=["mended in the same file", "gone on in another file"])
def test_a_full_disk_sheds_counts_and_recovers(journal: Any, more: int) -> None:
    """Every line is either written, carried once and counted as written, or dropped and counted as dropped."""
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS + UNTIL_FULL, str(journal.home.journal), str(more)],
        stdout=subprocess.PIPE,
        check=True,
    )
    said = orjson.loads(done.stdout)
    carried = journal.carry()
    assert said["written"] == len(said["kept"])
    assert said["written"] + said["dropped"] == said["tried"]
    assert "is the disk full?" in said["error"]
    assert said["last_error"] is None
    assert sorted(lake_ids(journal)) == sorted(said["kept"])
    assert carried.torn == 1


def test_a_line_that_lacks_only_its_end_stays_dropped(tmp_path: Path) -> None:
    """A write short by one byte left a whole object; it was refused, so it must not be read as written."""
    line = b'{"v":1}\n'
    script = (
        "import resource, sys; from pathlib import Path; from flyball.journal.segment import Segment\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        f"segment = Segment(Path(sys.argv[1]), 'test'); line = {line!r}\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(line) - 1}, hard)); assert not segment.append(line)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)); assert segment.append(line)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    (path,) = tmp_path.glob("*.jsonl")
    assert path.read_bytes() == b'{"v":1}#\n{"v":1}\n'


def test_a_deleted_folder_is_noticed_and_made_again(tmp_path: Path) -> None:
    """A line in a deleted file is not called written; within a second or so there is a new file."""
    folder = tmp_path / "journal"
    segment = Segment(folder, "test")
    assert segment.append(b"1\n")
    assert segment.path is not None
    segment.path.unlink()
    folder.rmdir()
    assert not segment.append(b"2\n")
    assert segment.last_error is not None
    assert "was deleted" in segment.last_error
    deadline = time.monotonic() + 10
    while not segment.append(b"3\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert segment.path.read_bytes() == b"3\n"
    assert segment.written == 2
    segment.close()


def test_a_folder_that_cannot_be_made_never_raises(tmp_path: Path) -> None:
    """The answer goes on; the reason is kept for who asks."""
    (tmp_path / "file").touch()
    segment = Segment(tmp_path / "file" / "journal", "test")
    assert not segment.append(b"1\n")
    assert (segment.written, segment.dropped) == (0, 1)
    assert segment.last_error is not None
    assert "Not a directory" in segment.last_error


def test_the_name_says_who_writes(tmp_path: Path) -> None:
    """Kind, process, time; two segments of one process never meet."""
    one, two = Segment(tmp_path, "serve"), Segment(tmp_path, "serve")
    assert one.path is not None
    assert two.path is not None
    assert one.path.name.startswith(f"serve-{os.getpid()}-")
    assert one.path != two.path
    one.close()
    two.close()


def test_the_lock_is_held_while_the_writer_lives(tmp_path: Path) -> None:
    """Who gets the lock knows that the writer is gone."""
    segment = Segment(tmp_path, "test")
    assert segment.path is not None
    with segment.path.open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        segment.close()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_old_segment_is_let_go_and_an_empty_one_kept(tmp_path: Path) -> None:
    """Rotation needs age and content; lines go on in the new file."""
    segment = Segment(tmp_path, "test")
    first = segment.path
    assert not segment.rotate_if_older(0)
    assert segment.append(b"1\n")
    assert not segment.rotate_if_older(3600)
    assert segment.rotate_if_older(0)
    assert segment.append(b"2\n")
    assert first is not None
    assert segment.path is not None
    assert [first.read_bytes(), segment.path.read_bytes()] == [b"1\n", b"2\n"]
    segment.close()


def test_of_lines_written_together_those_that_fit_are_written(tmp_path: Path) -> None:
    """The disk is full in the middle of the third of four: two are kept, and what follows is whole again."""
    line = b'{"v":1}\n'
    script = (
        "import resource, sys; from pathlib import Path; from flyball.journal.segment import Segment\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        f"segment = Segment(Path(sys.argv[1]), 'test'); line = {line!r}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard)); assert segment.append_all([line] * 4) == 2\n"
        "assert 'is the disk full?' in segment.last_error\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)); assert segment.append_all([line] * 2) == 2\n"
        "assert (segment.written, segment.dropped, segment.last_error) == (4, 2, None)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    (path,) = tmp_path.glob("*.jsonl")
    assert path.read_bytes() == line * 2 + line[:4] + b"#\n" + line * 2


def test_a_segment_is_synced_with_its_folder(tmp_path: Path) -> None:
    """A real file on a real disk; one whose file cannot be opened is not called synced."""
    segment = Segment(tmp_path / "journal", "test")
    assert segment.append_all([b"1\n"]) == 1
    assert segment.sync()
    assert segment.sync()
    segment.close()
    (tmp_path / "file").touch()
    assert not Segment(tmp_path / "file" / "journal", "test").sync()


def test_a_file_that_never_got_a_line_is_not_left_behind(tmp_path: Path) -> None:
    """A disk that takes files and no lines is not filled with empty files."""
    script = (
        "import resource, sys; from pathlib import Path; from flyball.journal.segment import Segment\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "segment = Segment(Path(sys.argv[1]), 'test')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard)); assert not segment.append(b'1\\n')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []

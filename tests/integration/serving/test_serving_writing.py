"""A writer on a real disk, and on a pipe in the disk's place: as slow as its reader, stuck when nobody reads."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyball.journal.segment import Segment
from flyball.serving.writing import ENTRY_BYTES, Writer

#: how long the slow disk takes for a write: several times what trips a writer.
SLOWNESS_S = 0.2
LINE = b"x" * 999 + b"\n"
#: so many lines that the pipe, 64 KiB, does not take them by itself.
MORE_THAN_A_PIPE = 200


class Told:
    """Counts what settles."""

    def __init__(self) -> None:
        self.written = 0
        self.dropped = 0

    def settled(self, rows: int, *, written: bool) -> None:
        if written:
            self.written += rows
        else:
            self.dropped += rows


class Pipe:
    """Takes the place of a segment's file. Full from the beginning, so that the next write waits for a reader."""

    def __init__(self, segment: Segment) -> None:
        assert segment.path is not None
        reading, writing = os.pipe()
        self.reading = reading
        self.got = b""
        os.set_blocking(writing, False)
        self.filled = 0
        try:
            while True:
                self.filled += os.write(writing, b"\0" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        os.dup2(writing, descriptor_of(segment.path))
        os.close(writing)
        self.taking = threading.Event()
        self.ended = False
        self.thread = threading.Thread(target=self._take)
        self.thread.start()

    def _take(self) -> None:
        while self.taking.wait() and not self.ended:
            try:
                self.got += os.read(self.reading, 1 << 20)
            except BlockingIOError:
                time.sleep(0.001)

    def read_from_now_on(self) -> None:
        os.set_blocking(self.reading, False)
        self.taking.set()

    def read_soon(self) -> threading.Timer:
        timer = threading.Timer(SLOWNESS_S, self.read_from_now_on)
        timer.start()
        return timer

    def stop_reading(self) -> None:
        self.taking.clear()

    def lines(self) -> bytes:
        return self.got.lstrip(b"\0")

    def close(self) -> None:
        self.ended = True
        self.taking.set()
        self.thread.join()
        os.close(self.reading)


def descriptor_of(path: Path) -> int:
    """This process's descriptor of an open file."""
    wanted = path.stat()
    for fd in range(3, 1024):
        try:
            found = os.fstat(fd)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return fd
    raise AssertionError(f"{path} is not open here")


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment(tmp_path, "test")


@pytest.fixture
def stuck(segment: Segment) -> Iterator[Pipe]:
    """A pipe in place of the segment's file, which nobody reads yet."""
    pipe = Pipe(segment)
    yield pipe
    pipe.close()


async def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)


async def trip(writer: Writer, pipe: Pipe, told: Told) -> None:
    """Write one line that takes long; the disk is stuck afterwards."""
    timer = pipe.read_soon()
    assert writer.append(LINE, told, 1) == "written"
    timer.join()
    pipe.stop_reading()


def test_a_quick_disk_is_written_to_at_once(segment: Segment, tmp_path: Path) -> None:
    """The fate is known when `append` returns; no thread is there."""
    writer, told = Writer(segment, rotate_s=60), Told()
    assert [writer.append(b"1\n", told, 1), writer.append(b"2\n", told, 1)] == ["written", "written"]
    (path,) = tmp_path.glob("*.jsonl")
    assert path.read_bytes() == b"1\n2\n"
    assert writer.fault is None
    assert "journal test" not in [thread.name for thread in threading.enumerate()]
    writer.close()


def test_a_slow_write_turns_to_the_buffer_and_a_quick_one_back(segment: Segment, stuck: Pipe) -> None:
    """The first slow write is waited for; the next lines wait elsewhere, are written in order, and then it is as before."""
    writer, told = Writer(segment, rotate_s=60), Told()

    async def scenario() -> None:
        timer = stuck.read_soon()
        assert writer.append(b"0\n", told, 1) == "written"
        timer.join()
        assert writer.fault is not None
        assert not writer.fault.shedding
        assert writer.append(b"1\n", told, 1) == "waiting"
        await writer.settled(20)
        await until(lambda: writer.tend() or writer.fault is None, "it has been quick for a second")
        assert writer.append(b"2\n", told, 1) == "written"

    asyncio.run(scenario())
    assert told.written == 1
    writer.close()
    deadline = time.monotonic() + 20
    while stuck.lines() != b"0\n1\n2\n":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_stuck_disk_holds_nobody_up_and_memory_is_bounded(segment: Segment, stuck: Pipe) -> None:
    """What fits waits, the rest is dropped at once; when the disk goes on, what waited is written."""
    writer, told = Writer(segment, rotate_s=60, room=MORE_THAN_A_PIPE * (len(LINE) + ENTRY_BYTES)), Told()

    async def scenario() -> None:
        await trip(writer, stuck, told)
        fates = [writer.append(LINE, told, 1) for _ in range(10_000)]
        assert fates.count("waiting") == MORE_THAN_A_PIPE
        assert fates[MORE_THAN_A_PIPE:] == ["dropped"] * (10_000 - MORE_THAN_A_PIPE)
        assert writer.fault is not None
        assert writer.fault.shedding
        stuck.read_from_now_on()
        await writer.settled(20)
        assert (told.written, told.dropped) == (MORE_THAN_A_PIPE, 0)
        assert writer.fault is not None
        assert not writer.fault.shedding
        await until(lambda: writer.tend() or writer.fault is None, "it has been quick for a second")

    asyncio.run(scenario())
    writer.close()


def test_who_waits_for_a_stuck_disk_waits_no_longer_than_told(segment: Segment, stuck: Pipe) -> None:
    """`settled` gives up, and the fault says so; the lines keep their places."""
    writer, told = Writer(segment, rotate_s=60), Told()

    async def scenario() -> None:
        await trip(writer, stuck, told)
        for _ in range(MORE_THAN_A_PIPE):
            writer.append(LINE, told, 1)
        await writer.settled(0.05)
        await until(lambda: writer.fault and "nothing went forward" in writer.fault.what, "a second has passed")
        assert told.written < MORE_THAN_A_PIPE
        stuck.read_from_now_on()
        await writer.settled(20)

    asyncio.run(scenario())
    assert told.written == MORE_THAN_A_PIPE
    writer.close()


def test_a_durable_line_settles_when_it_is_on_the_disk(segment: Segment, tmp_path: Path) -> None:
    """Never at once; many together; in the file before anyone is told."""
    writer, told = Writer(segment, rotate_s=60, durable=True), Told()

    async def scenario() -> None:
        fates = {writer.append(b"%d\n" % number, told, 1) for number in range(100)}
        assert fates == {"waiting"}
        assert told.written == 0
        await writer.settled(20)
        assert told.written == 100
        (path,) = tmp_path.glob("*.jsonl")
        assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(100))

    asyncio.run(scenario())
    assert writer.fault is None
    writer.close()


def test_a_line_whose_fsync_fails_is_dropped(segment: Segment, stuck: Pipe) -> None:
    """A pipe cannot be synced: what was written to it is not called written, and the journal says so."""
    writer, told = Writer(segment, rotate_s=60, durable=True), Told()

    async def scenario() -> None:
        stuck.read_from_now_on()
        assert writer.append(LINE, told, 3) == "waiting"
        await writer.settled(20)
        assert (told.written, told.dropped) == (0, 3)
        assert writer.fault is not None
        assert "fsync failed" in writer.fault.what
        # Within moments there is another file, a real one.
        await until(lambda: writer.append(LINE, told, 1) and told.written > 0, "a file that can be synced")

    asyncio.run(scenario())
    assert writer.fault is None
    writer.close()


def test_closing_writes_what_waits(segment: Segment, stuck: Pipe) -> None:
    """Lines in the buffer are written before the segment is let go, even if the loop has ended."""
    writer, told = Writer(segment, rotate_s=60), Told()

    async def scenario() -> None:
        await trip(writer, stuck, told)
        for _ in range(MORE_THAN_A_PIPE):
            assert writer.append(LINE, told, 1) == "waiting"

    asyncio.run(scenario())
    stuck.read_from_now_on()
    writer.close()
    assert told.written == MORE_THAN_A_PIPE


def test_a_durable_writer_begins_new_segments_in_time(tmp_path: Path) -> None:
    """The thread rotates between batches; the old file is let go."""
    writer, told = Writer(Segment(tmp_path, "test"), rotate_s=0.0, durable=True), Told()

    async def scenario() -> None:
        for number in range(3):
            writer.append(b"%d\n" % number, told, 1)
            await writer.settled(20)

    asyncio.run(scenario())
    files = sorted(tmp_path.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    assert b"".join(sorted(path.read_bytes() for path in files)) == b"0\n1\n2\n"
    assert len(files) == 4  # the last is empty and still held
    with files[-1].open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    writer.close()


TEN_MINUTES = """
import asyncio, os, resource, sys, threading
from pathlib import Path
from flyball.journal.segment import Segment
from flyball.serving.writing import Writer

class Told:
    def settled(self, rows, *, written): pass

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    segment = Segment(Path(sys.argv[1]), "test")
    reading, writing = os.pipe()
    ino = segment.path.stat().st_ino
    os.dup2(writing, next(fd for fd in range(3, 64) if fd not in (reading, writing) and os.fstat(fd).st_ino == ino))
    writer, told, line = Writer(segment, rotate_s=60, durable=True), Told(), os.urandom(300).hex().encode() + b"\\n"
    before = resident()
    fates = {"waiting": 0, "dropped": 0, "written": 0}
    for second in range(600):
        for _ in range(500):
            fates[writer.append(bytes(bytearray(line)), told, 1)] += 1
        await asyncio.sleep(0)
    print(resident() - before, fates["waiting"], fates["dropped"], flush=True)
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see resident memory")
def test_ten_minutes_of_a_stuck_disk_take_no_more_than_the_room(tmp_path: Path) -> None:
    """What 500 requests a second offer in ten minutes, 172 MiB, against a disk that takes nothing: 6 MiB are kept.

    Memory depends on what was offered, not on how long it took, so the ten minutes are offered at once.
    """
    done = subprocess.run(
        [sys.executable, "-c", TEN_MINUTES, str(tmp_path)], stdout=subprocess.PIPE, check=True, timeout=60
    )
    grown, waiting, dropped = map(int, done.stdout.split())
    assert waiting + dropped == 300_000
    assert waiting * 601 < 6 * 2**20
    assert grown < 12 * 2**20

"""served = written + sampled_out + dropped at every scrape: under load, kills, full disks, missing folders, stuck disks."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from flyball.serving.episodes import EVENT
from flyball.serving.options import Options, worker_argv
from flyball.serving.sockets import address, bind
from flyball.store import open_database
from flyball.store.outbox import newest
from tests.integration.serving.load import BODY, ROW, answered, asked

#: answers that a client takes from one connection, so that a new worker gets its share.
KEEPS = 20
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and prlimit")

_SAMPLE = re.compile(r"^(flyball_rows_total|flyball_journal_records_total)\{(.*)\} (\S+)$", re.MULTILINE)


def scraped(text: str) -> tuple[float, dict[str, float]]:
    """Rows served, and records by result, of one exposition."""
    rows, records = 0.0, {}
    for family, labels, value in _SAMPLE.findall(text):
        if family == "flyball_rows_total":
            rows += float(value)
        else:
            records[labels.partition('"')[2].rstrip('"')] = float(value)
    return rows, records


def degraded(server: Any) -> list[str]:
    found: list[str] = orjson.loads(server.request("GET", "/readyz")[2])["degraded"]
    return found


def events(installed: Any) -> list[tuple[str, str]]:
    """(status, severity) of what was told of journals, oldest first."""
    database = open_database(installed.home)
    found = newest(database, kind=EVENT, limit=100)
    database.close()
    return [(event.payload["status"], event.payload["severity"]) for event in reversed(found)]


def test_the_accounts_are_right_at_every_scrape(serve: Any, installed: Any, eventually: Any) -> None:
    """While requests are answered, workers are killed and the journal's folder comes and goes; no counter goes back."""
    server = serve(workers=2, sample={"delay": 0.5}, poll_s=0.05)
    journal, aside = installed.home.journal, installed.home.path / "aside"
    seen: list[tuple[float, dict[str, float]]] = []

    def scrape(result: str) -> float:
        """One more scrape, if a worker is there to answer it; records of one result."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            seen.append(scraped(server.request("GET", "/metrics")[2].decode()))
        return seen[-1][1][result]

    with asked(server.port, 3, keeps=KEEPS) as loads:
        for _ in range(4):
            written = scrape("written")
            eventually(lambda written=written: scrape("written") > written, "lines are written")
            victim = server.alive()[0]
            os.kill(victim, signal.SIGKILL)
            journal.rename(aside)
            journal.touch()
            eventually(lambda victim=victim: len(server.alive()) == 2 and victim not in server.alive(), "a replacement")
            dropped = scrape("dropped")
            # The replacement finds no folder; the other one goes on in the file it has.
            eventually(lambda dropped=dropped: scrape("dropped") > dropped, "lines are dropped")
            journal.unlink()
            aside.rename(journal)
    scrape("written")
    assert len(seen) >= 8
    assert all(rows == sum(records.values()) for rows, records in seen)
    for (_, earlier), (_, later) in itertools.pairwise(seen):
        assert all(later[result] >= earlier[result] for result in earlier)
    rows, records = seen[-1]
    told = answered(loads)
    assert all(not load.refused for load in loads)
    # A request that its worker died in may have been counted and not answered.
    assert told <= rows <= told + sum(len(load.broken) for load in loads)
    assert min(records["dropped"], records["sampled_out"], records["written"]) > 0


def test_requests_are_counted_exactly_over_deaths(serve: Any, installed: Any, eventually: Any) -> None:
    """Four workers killed under load, each replaced: the counters of all are what the clients were answered.

    More only by what was on its way when a worker died: at most one request of each connection that broke.
    """
    server = serve(workers=2, sample={"delay": 0.5})
    with asked(server.port, 4, keeps=KEEPS) as loads:
        for _ in range(4):
            before = answered(loads)
            eventually(lambda before=before: answered(loads) > before + 200, "load")
            os.kill(server.alive()[-1], signal.SIGKILL)
            eventually(lambda: len(server.alive()) == 2, "a replacement")
    told = answered(loads)
    broken = sum(len(load.broken) for load in loads)
    assert [load.refused for load in loads] == [[]] * 4
    assert told <= server.metric("flyball_requests_total") <= told + broken
    rows, records = scraped(server.request("GET", "/metrics")[2].decode())
    assert told <= rows == sum(records.values()) <= told + broken
    journaled = sum(len(line["ids"]) for line in installed.journal())
    assert records["written"] <= journaled <= records["written"] + broken


def test_a_refused_request_leaves_who_asked_on_either_way(serve: Any, installed: Any) -> None:
    """A body with a length goes the short way, one in chunks the ordinary one; both know the caller."""
    server = serve(workers=1)
    connection = server.connection()
    for body in (b"{", iter([b"{"])):
        connection.request("POST", "/models/delay/predict", body)
        assert connection.getresponse().read()
    connection.close()
    found = [(line["caller"], line["status"], line["model"]) for line in installed.journal("errors")]
    assert found == [("127.0.0.1", 400, "delay")] * 2


@LINUX
@pytest.mark.slow
def test_a_full_disk_sheds_counts_tells_and_recovers(serve: Any, installed: Any, eventually: Any) -> None:
    """Answers go on, 200 and degraded; when there is room again lines are written; the episode is told at both ends."""
    server = serve(workers=1)
    (pid,) = server.pids()
    server.predict()
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    for _ in range(20):
        server.predict(rows=2)
    assert server.request("GET", "/readyz")[0] == 200
    assert "the journal of predictions sheds records" in degraded(server)[0]
    text = server.request("GET", "/metrics")[2].decode()
    assert scraped(text) == (41.0, {"written": 1.0, "dropped": 40.0, "sampled_out": 0.0})
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    eventually(lambda: server.predict() and not degraded(server), "all is well again")
    eventually(lambda: events(installed) == [("firing", "critical"), ("resolved", "info")], "both ends are told")


@pytest.mark.slow
def test_a_folder_that_is_a_file_is_told_while_it_lasts(serve: Any, installed: Any, eventually: Any) -> None:
    """The database can be written, so the event is there at once; a successor of a killed worker ends the episode."""
    server = serve(workers=1)
    for path in installed.home.journal.iterdir():
        path.unlink()
    installed.home.journal.rmdir()
    installed.home.journal.touch()
    server.predict()
    eventually(lambda: events(installed) == [("firing", "critical")], "its beginning")
    installed.home.journal.unlink()
    os.kill(server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(server.pids()) == 2 and server.ready(), "a successor")
    server.predict()
    eventually(lambda: events(installed) == [("firing", "critical"), ("resolved", "info")], "its end")


def test_a_durable_answer_survives_the_death_of_its_worker(serve: Any, installed: Any, eventually: Any) -> None:
    """SIGKILL under load: whatever was answered is in the journal, and counted once as written or dropped."""
    server = serve(workers=2, durable=("delay",))
    with asked(server.port, 8, keeps=KEEPS) as loads:
        for _ in range(3):
            before = answered(loads)
            os.kill(server.alive()[0], signal.SIGKILL)
            eventually(lambda: len(server.alive()) == 2, "a replacement")
            eventually(lambda before=before: answered(loads) > before + 100, "load goes on")
    ids = {identity for load in loads for identity in load.ids}
    journaled = {identity for line in installed.journal() for identity in line["ids"]}
    assert ids <= journaled
    rows, records = scraped(server.request("GET", "/metrics")[2].decode())
    assert rows == sum(records.values())
    assert len(ids) <= rows <= len(ids) + sum(len(load.broken) for load in loads)


#: A real worker whose journal's disk takes a second for one line when told (SIGUSR1), and nothing more until told again.
STICKING = """
import os, signal, sys, threading, time
from pathlib import Path
from flyball.serving import worker

home = Path(sys.argv[sys.argv.index("--home") + 1])
told, again = threading.Event(), threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: again.set() if told.is_set() else told.set())

def stick():
    told.wait()
    (path,) = (home / "journal").glob("predictions-*.jsonl")
    wanted = path.stat().st_ino
    fd = next(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")
              and os.stat(f"/proc/self/fd/{fd}").st_ino == wanted)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"\\0" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    os.dup2(writing, fd)
    os.write(1, b"stuck")
    time.sleep(1.0)
    os.read(reading, 4096)
    again.wait()
    while os.read(reading, 1 << 20):
        pass

threading.Thread(target=stick, daemon=True).start()
worker.main(sys.argv[1:])
"""


@contextmanager
def sticking(installed: Any) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with bind("127.0.0.1", 0) as listening:
        fd = listening.fileno()
        argv = worker_argv(installed.home.path, fd, 0, Options())
        process = subprocess.Popen(
            [sys.executable, "-c", STICKING, *argv],
            pass_fds=(fd,),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            yield process, address(listening)[1]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def resident(pid: int) -> int:
    """Bytes of memory in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


@LINUX
def test_a_stuck_disk_costs_a_worker_no_answer_and_little_memory(installed: Any, eventually: Any) -> None:
    """Its buffer full many times over, the worker answers, sheds and counts; freed, it has written all that waited."""
    with sticking(installed) as (process, port):
        wide = orjson.dumps({"inputs": [ROW] * 200})

        def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            with contextlib.closing(connection):
                connection.request(method, path, body)
                reply = connection.getresponse()
                return reply.status, reply.read()

        def answers() -> bool:
            try:
                return ask("GET", "/readyz")[0] == 200
            except OSError:
                return False

        eventually(answers, "the worker is ready")
        for _ in range(300):
            assert ask("POST", "/models/delay/predict", wide)[0] == 200
        before = resident(process.pid)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout is not None
        assert process.stdout.read(5) == b"stuck"
        assert ask("POST", "/models/delay/predict", BODY)[0] == 200  # waits for the disk, as nobody could know
        assert any("is written late" in sentence for sentence in orjson.loads(ask("GET", "/readyz")[1])["degraded"])
        # Of some 10 KiB each: more than twice what the buffer holds.
        statuses = {ask("POST", "/models/delay/predict", wide)[0] for _ in range(2_000)}
        assert statuses == {200}
        status, ready = ask("GET", "/readyz")
        assert status == 200
        assert "sheds records: writing is so slow" in orjson.loads(ready)["degraded"][0]
        assert resident(process.pid) < 1.2 * before
        rows, records = scraped(ask("GET", "/metrics")[1].decode())
        assert rows == sum(records.values())
        assert records["dropped"] > 0
        waiting = _waiting(ask("GET", "/metrics")[1])
        assert waiting > 0
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: _waiting(ask("GET", "/metrics")[1]) == 0, "what waited is written")
        _, after = scraped(ask("GET", "/metrics")[1].decode())
        assert after == {**records, "written": records["written"] + waiting}


def _waiting(metrics: bytes) -> float:
    return float(re.findall(rb"^flyball_journal_waiting (\S+)$", metrics, re.MULTILINE)[0])

"""`flyball serve` and `flyball up` as processes: addresses, outcomes, explain, and an end without loss."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

import pytest

from flyball.client import Client
from flyball.journal.carry import carry
from flyball.store import utcnow
from tests.integration.cli.conftest import Site

PATIENCE_S = 60.0
ROW = {"visits": 2.0, "paid": True, "plan": "basic"}


class Server:
    """A `flyball` process whose lines can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: Queue[str] = Queue()
        self.seen: list[str] = []
        assert process.stdout is not None
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, stdout: Iterator[str]) -> None:
        for line in stdout:
            self.lines.put(line)

    def says(self, pattern: str) -> re.Match[str]:
        """The first line from here on that matches."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and (self.process.poll() is None or not self.lines.empty()):
            try:
                self.seen.append(self.lines.get(timeout=0.1))
            except Empty:
                continue
            if match := re.search(pattern, self.seen[-1]):
                return match
        raise AssertionError(f"never said {pattern!r}: {''.join(self.seen)}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def started(site: Site, *words: str) -> Iterator[Server]:
    """`flyball WORDS`, stdout and stderr together; killed at the end if it still runs."""
    argv = [str(Path(sys.executable).with_name("flyball")), *words, "--home", str(site.home.path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_serve_answers_takes_outcomes_and_ends_at_ctrl_c(site: Site, tmp_path: Path) -> None:
    """From the printed address to a prediction, its outcome from a file, and its whole story; then exit 0."""
    with started(site, "serve", "--workers", "1", "--port", str(free_port())) as server:
        url = server.says(r"serving +(http://\S+)")[1]
        server.says(r"curl -s .*/models/churn/predict -d '\{\"inputs\":\[\{\"visits\":2.0")
        client = Client(url)
        answer = client.predict("churn", [ROW], key="k1")
        client.close()
        assert (answer.version, answer.predictions) == (1, [0.5])
        file = tmp_path / "labels.csv"
        file.write_text(f"id,value\n{answer.ids[0]},1\n")
        assert site("outcomes", "churn", str(file)).stdout == "1 outcomes of churn taken\n"
        assert site("serve", "--port", "0").exit_code == 1
        assert server.end() == 0
    carry(site.home, site.database, now=utcnow())
    explained = site("explain", answer.ids[0], "--json")
    assert explained.exit_code == 0, explained.output
    told = json.loads(explained.stdout)
    assert (told["prediction"]["version"], told["prediction"]["features"]["visits"]) == (1, 2.0)
    assert told["deployed"]["why"] == "the first version"
    assert [item["number"] for item in told["outcomes"]] == [1.0]
    assert {name: told["again"][name] for name in ("verdict", "then", "now", "difference")} == {
        "verdict": "equal",
        "then": 0.5,
        "now": 0.5,
        "difference": 0.0,
    }
    text = site("explain", answer.ids[0]).stdout
    assert "again      0.5 again, equal to the bit" in text
    assert "version    churn v1  churn-1, as " in text
    assert "came true  label 1 at" in text


def test_serve_for_other_machines_says_what_they_need(site: Site) -> None:
    """A token, and TLS in front; the command to copy carries the token."""
    with started(site, "serve", "--workers", "1", "--host", "0.0.0.0", "--port", str(free_port())) as server:
        server.says(r"over plain HTTP: let a proxy in front speak TLS")
        server.says(r"`flyball token create NAME --scope predict` makes one")
        server.says(r'curl -s http://127.0.0.1:\d+/models/churn/predict -H "Authorization: Bearer \$TOKEN" -d')
        assert server.end() == 0


def test_a_promotion_reaches_the_workers(site: Site) -> None:
    """`flyball promote` in one terminal, another version from the server in the other."""
    with started(site, "serve", "--workers", "1", "--port", str(free_port())) as server:
        client = Client(server.says(r"serving +(http://\S+)")[1])
        server.says("v1 answers")
        moved = site("promote", "churn@2")
        assert re.fullmatch(r"churn v1 → v2  verified, answering after \d+\.\d s. Audit #2.\n", moved.stdout)
        assert client.predict("churn", [ROW]).version == 2
        client.close()
        assert server.end(signal.SIGTERM) == 0


def test_serve_refuses_a_busy_port_with_the_mend(site: Site) -> None:
    """Exit 1, naming the port; the data plane's address is what others rely on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = site("serve", "--port", str(port))
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_serving_an_unknown_model_is_refused(site: Site) -> None:
    """Exit 2 at once, not a server that answers nothing."""
    assert site("serve", "--model", "chrun", "--port", "0").exit_code == 2


def test_up_takes_the_next_free_ports_and_tells_its_addresses(site: Site) -> None:
    """Busy ports are no reason to fail; `ui` and `outcomes` find where it went."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with started(site, "up", "--workers", "1", "--port", str(port), "--ui-port", str(port)) as server:
            url = server.says(r"serving +(http://127.0.0.1:(\d+))")
            page = server.says(r"dashboard +(http://127.0.0.1:(\d+)/\?token=\S+)")
            server.says("v1 answers")
            assert port < int(url[2]) < int(page[2])
            assert site("ui").stdout == f"{page[1]}\n"
            assert server.end() == 0
    assert json.loads(site("ui", "--json").stdout)["running"] is False


@pytest.mark.slow
def test_up_without_a_version_serves_it_as_soon_as_there_is_one(site: Site) -> None:
    """It says what is missing and the mend, goes on, and tells when a model answers."""
    with site.database.write() as tx:
        kept = dict(tx.all("SELECT * FROM deployment")[0])
        tx.run("DELETE FROM deployment")
    with started(site, "up", "--workers", "1", "--port", str(free_port()), "--ui-port", str(free_port())) as server:
        server.says("No version yet: `flyball run` trains the first")
        names = ", ".join(kept)
        with site.database.write() as tx:
            tx.run(f"INSERT INTO deployment ({names}) VALUES (:{', :'.join(kept)})", **kept)
        server.says("churn v1 answers")
        assert server.end() == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the children in /proc")
def test_a_killed_server_leaves_no_process_and_no_lock(site: Site) -> None:
    """SIGKILL of `up`: workers, dashboard and loop end by themselves, and the home can be served again."""
    ports = ("--port", str(free_port()), "--ui-port", str(free_port()))
    with started(site, "up", "--workers", "1", *ports) as server:
        server.says("v1 answers")
        children = _children(server.process.pid)
        assert len(children) == 3
        server.process.kill()
        until(lambda: not any(_alive(pid) for pid in children))
    with started(site, "serve", "--workers", "1", *ports[:2]) as again:
        again.says("v1 answers")
        assert again.end() == 0


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and small pipes")
def test_a_server_whose_log_nobody_reads_still_replaces_what_dies(site: Site) -> None:
    """Its stderr full, a killed worker is replaced; told to end, it ends."""
    port = free_port()
    argv = [str(Path(sys.executable).with_name("flyball")), "serve", "--workers", "1", "--port", str(port)]
    with subprocess.Popen(
        [*argv, "--home", str(site.home.path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        until(lambda: status(port, "GET", "/readyz") == 200)
        assert {status(port, "POST", "/models/churn/predict") for _ in range(150)} == {400}
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (worker,) = children.read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: children.read_text().split() not in ([], [worker]))
        until(lambda: status(port, "GET", "/readyz") == 200)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def status(port: int, method: str, path: str) -> int | None:
    """What a request without a body is answered; None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        with connection.getresponse() as reply:
            return reply.status
    except OSError:
        return None
    finally:
        connection.close()

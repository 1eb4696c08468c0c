"""Workers and their supervisor: swaps under load, deaths, drains, restarts."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from typing import Any

import orjson
import pytest

from flyball.errors import Unavailable
from flyball.serving.sockets import address, bind, bind_free
from tests.integration.serving.load import BODY, answered, asked


def test_predict_and_outcomes_go_through_real_workers(serve: Any, installed: Any) -> None:
    """The happy path over a socket, journaled by the worker that answered."""
    server = serve(workers=2)
    answer = server.predict(rows=3)
    outcome = {"outcomes": [{"id": answer["ids"][0], "value": 1}]}
    status, headers, _ = server.request("POST", "/models/delay/outcomes", outcome, {"X-Request-ID": "mine"})
    assert (status, headers["x-request-id"]) == (202, "mine")
    assert [line["ids"] for line in installed.journal()] == [answer["ids"]]
    assert installed.journal("outcomes")[0]["outcomes"][0]["id"] == answer["ids"][0]


def test_refusals_are_problems_over_the_wire_too(serve: Any) -> None:
    """400, 404, 405, 413, 422 with their headers."""
    server = serve(max_body_bytes=10_000)
    expected = [
        ("POST", "/models/delay/predict", b"{", 400),
        ("POST", "/models/none/predict", BODY, 404),
        ("GET", "/models/delay/predict", None, 405),
        ("POST", "/models/delay/predict", b"x" * 10_001, 413),
        ("POST", "/models/delay/predict", b'{"inputs":[]}', 422),
    ]
    for method, path, body, status in expected:
        got, headers, answer = server.request(method, path, body)
        assert (got, headers["content-type"]) == (status, "application/problem+json")
        assert orjson.loads(answer)["status"] == status


def test_ten_promotions_under_load_fail_no_request(serve: Any, installed: Any, eventually: Any) -> None:
    """Every answer names a version that was live; old and new versions overlap by one request at most a connection."""
    server = serve(workers=2)
    with asked(server.port, 4) as loads:
        for number in range(2, 12):
            before = answered(loads)
            installed.deploy(number)
            eventually(lambda before=before: answered(loads) > before + 40, "load goes on")
        eventually(
            lambda: all(load.answers and load.answers[-1]["version"] == 11 for load in loads), "the last one answers"
        )
    assert [(load.refused, load.broken) for load in loads] == [([], [])] * 4
    for load in loads:
        versions = [answer["version"] for answer in load.answers]
        assert set(versions) <= set(range(1, 12))
        assert versions == sorted(versions)
    assert len(installed.journal()) == answered(loads) == server.metric("flyball_requests_total")  # before this one


def test_a_killed_worker_is_replaced_and_no_answer_is_lost(serve: Any, installed: Any, eventually: Any) -> None:
    """SIGKILL under load: within moments another serves; each answer a client got is journaled and counted."""
    server = serve(workers=2)
    with asked(server.port, 4) as loads:
        eventually(lambda: all(len(load.answers) > 20 for load in loads), "load")
        os.kill(server.pids()[0], signal.SIGKILL)
        eventually(lambda: len(server.alive()) == 2 and len(server.pids()) == 3, "a replacement")
        before = answered(loads)
        eventually(lambda: answered(loads) > before + 200, "load goes on")
    told = {identity for load in loads for identity in load.ids}
    journaled = {identity for line in installed.journal() for identity in line["ids"]}
    unanswered = sum(len(load.broken) for load in loads)
    assert told <= journaled
    assert len(journaled) - len(told) <= unanswered
    counted = server.metric('flyball_journal_records_total{result="written"}')
    # The requests the worker died in may have been journaled and not yet counted, or counted and not yet answered.
    assert len(told) <= counted <= len(journaled) <= counted + unanswered
    assert counted == server.metric("flyball_rows_total")


def test_a_worker_told_to_stop_finishes_what_it_began(serve: Any, installed: Any, eventually: Any) -> None:
    """SIGTERM while a body is half sent: the rest is read, answered and journaled; then the worker ends with 0."""
    server = serve(workers=1)
    place = ("127.0.0.1", server.port)
    with socket.create_connection(place) as idle, socket.create_connection(place) as client:
        head = f"POST /models/delay/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n"
        client.sendall(head.encode() + BODY[:10])
        eventually(lambda: server.metric("flyball_in_flight") == 2.0, "the request has begun")
        (pid,) = server.pids()
        os.kill(pid, signal.SIGTERM)
        assert idle.recv(1) == b""  # idle connections are closed once it has stopped listening
        client.sendall(BODY[10:])
        reply = b""
        while chunk := client.recv(65536):
            reply += chunk
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in reply.lower()
    assert len(installed.journal()) == 1
    eventually(lambda: any("ended (exit 0)" in line for line in server.log), "a clean end")


def test_stopping_the_server_ends_all_workers(serve: Any, is_alive: Any) -> None:
    """No process is left, and the port is free again."""
    server = serve(workers=2)
    pids = server.pids()
    server.end()
    assert [pid for pid in pids if is_alive(pid)] == []
    bind("127.0.0.1", server.port).close()


_SUPERVISOR = """
import sys, threading
from pathlib import Path
from flyball.serving.options import Options
from flyball.serving.sockets import address, bind
from flyball.serving.supervisor import supervise, worker_children
from flyball.store import Home
listening = bind("127.0.0.1", 0)
print(address(listening)[1], flush=True)
children = worker_children(Home(Path(sys.argv[1])), listening, 2, Options())
supervise(children, stop=threading.Event(), log=lambda line: print(line, flush=True))
"""


def test_a_killed_supervisor_leaves_no_orphan(installed: Any, eventually: Any, is_alive: Any) -> None:
    """SIGKILL gives it no chance to say goodbye; the closing pipe does."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(installed.home.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    pids = [int(process.stdout.readline().rpartition(" ")[2]) for _ in range(2)]

    def answers() -> bool:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/readyz")
                with connection.getresponse() as reply:
                    return reply.status == 200
        except OSError:
            return False

    eventually(answers, "workers serve")
    process.kill()
    process.wait()
    process.stdout.close()
    eventually(lambda: not any(is_alive(pid) for pid in pids), "workers end by themselves")


def test_a_restarted_worker_needs_no_database(serve: Any, installed: Any, eventually: Any) -> None:
    """The database gone, the worker killed: the next one serves what was kept on disk."""
    server = serve(workers=1)
    for path in installed.home.path.glob("flyball.db*"):
        path.unlink()
    assert server.predict()["version"] == 1
    os.kill(server.pids()[0], signal.SIGKILL)
    eventually(lambda: len(server.pids()) == 2 and server.ready(), "a new worker is ready")
    assert server.predict()["version"] == 1
    assert not installed.home.database.exists()


def test_a_bundle_that_breaks_keeps_the_old_version(serve: Any, installed: Any, eventually: Any) -> None:
    """A promotion whose files are not what was registered is not served; readiness says which."""
    server = serve(workers=1)
    good, installed.digest = installed.digest, "0" * 64
    installed.deploy(2)

    def degraded() -> list[str]:
        found: list[str] = orjson.loads(server.request("GET", "/readyz")[2])["degraded"]
        return found

    eventually(degraded, "readiness is degraded")
    assert "v2 cannot be loaded, v1 goes on answering" in degraded()[0]
    assert server.predict()["version"] == 1
    installed.digest = good
    installed.deploy(3)
    eventually(lambda: server.predict()["version"] == 3, "the mend is served")
    assert degraded() == []


def test_a_worker_starts_light_and_soon(installed: Any) -> None:
    """No training library is imported by a worker."""
    code = (
        "import sys, flyball.serving.worker;"
        "print(*(set(sys.modules) & {'pandas','sklearn','mlflow','scipy','duckdb','pyarrow','fastapi','lightgbm','onnx'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_busy_port_is_named_and_the_next_free_one_found() -> None:
    """`bind` says which and how to mend it; `bind_free` goes on to the next."""
    with bind("127.0.0.1", 0) as busy:
        host, port = address(busy)
        with pytest.raises(Unavailable, match=rf"{host}:{port} .*--port"):
            bind(host, port)
        with bind_free(host, port) as free:
            assert port < address(free)[1] <= port + 20

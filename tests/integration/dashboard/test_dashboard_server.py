"""The control plane as a process: it ends when told to, or when its parent does, and prints nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from types import ModuleType

from flyball.store import Home


def test_it_ends_when_its_parent_is_gone(home: Home, bench: ModuleType) -> None:
    """The pipe's other end closes, however the parent went."""
    with bench.serving(home) as (server, parent):
        assert server.process.poll() is None
        os.close(parent)
        assert server.process.wait(timeout=20) == 0
        assert server.process.stdout.read() == b""


def test_it_ends_with_its_parent_while_a_connection_is_kept_open(home: Home, bench: ModuleType) -> None:
    """A browser's idle connection does not keep it alive."""
    with bench.serving(home) as (server, parent), socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK"
        os.close(parent)
        assert server.process.wait(timeout=20) == 0


def test_it_ends_on_sigterm(home: Home, bench: ModuleType) -> None:
    """At once, and without a word."""
    with bench.serving(home) as (server, _):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) in (0, -signal.SIGTERM)
        assert server.process.stdout.read() == b""


def test_a_busy_port_is_an_error_that_is_told(home: Home) -> None:
    """Without a socket of its parent's it binds its own, and fails loudly."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "flyball.dashboard.server", "--home", str(home.path), "--port", port]
        ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert b"address already in use" in ended.stderr.lower()

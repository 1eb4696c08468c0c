"""The command line and the servers it starts, as a practitioner has them: nothing but commands and HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLYBALL = str(Path(sys.executable).with_name("flyball"))
PATIENCE_S = 120.0


def flyball(folder: Path, *words: str) -> Any:
    """Run a verb in a folder; its JSON answer."""
    done = subprocess.run(
        [FLYBALL, *words, "--json"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "MLFLOW_"))}
    return {**kept, **more}


@contextmanager
def up(folder: Path, *words: str, pattern: Sequence[str], **more: str) -> Iterator[list[re.Match[str]]]:
    """`flyball up` until the block ends: what the patterns found in its output, each in turn. It must end with 0."""
    argv = [FLYBALL, "up", *words, "--workers", "1", "--port", str(free_port()), "--ui-port", str(free_port())]
    process = subprocess.Popen(
        argv, cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said: list[str] = []
    reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        until(lambda: all(re.search(item, "".join(said)) for item in pattern) or process.poll() is not None)
        found = [re.search(item, "".join(said)) for item in pattern]
        assert all(found), "".join(said)
        yield [match for match in found if match]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, "".join(said)
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(url: str, body: bytes) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        return json.load(answer)


def code(folder: Path, *words: str) -> int:
    """The exit code of a verb."""
    return subprocess.run([FLYBALL, *words], cwd=folder, env=environment(), capture_output=True, check=False).returncode

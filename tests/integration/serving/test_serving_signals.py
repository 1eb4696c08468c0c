"""A process is told to end at the worst of moments: while its main thread is inside the wait that the telling ends."""

from __future__ import annotations

import subprocess
import sys

# The main thread does nothing but wait, in steps so short that it is nearly always inside the event's lock.
WAITS = """
import os, signal, sys, threading
from flyball.serving.signals import told_to_end

for _ in range(300):
    stop = threading.Event()
    with told_to_end(stop.set):
        threading.Timer(0.001, os.kill, (os.getpid(), signal.SIGTERM)).start()
        while not stop.is_set():
            stop.wait(0)
print("ended")
"""

INSISTS = """
import os, signal, threading
from flyball.serving.signals import told_to_end

never = threading.Event()
with told_to_end(lambda: os.kill(os.getpid(), signal.SIGTERM), insist=True):
    os.kill(os.getpid(), signal.SIGTERM)
    never.wait(60)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_a_signal_inside_the_wait_it_ends_is_heard() -> None:
    """Three hundred times."""
    done = run(WAITS)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_a_second_signal_ends_at_once_where_that_is_meant() -> None:
    """By the signal itself."""
    assert run(INSISTS).returncode == -15

"""Who executes a run, as text, and whether that process still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """`host:pid:start`: the start time tells this process from a later one that was given the same number."""
    return f"{socket.gethostname()}:{os.getpid()}{_start_of(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Whether the owning process still runs. One on another host counts as alive: nobody can tell from here."""
    host, pid, *start = owner.split(":")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not start or _start_of(int(pid)) == f":{start[0]}"


def _start_of(pid: int) -> str:
    """`:ticks` since boot when the process started, from /proc; empty where there is none (macOS) or it is gone."""
    try:
        # Field 22; the second field may itself contain spaces and brackets, so count from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f":{fields[19]}"

"""Keeping processes running, whatever they are."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flyball.serving.supervisor import Child, supervise

_PATIENT = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print(flush=True); time.sleep(60)"


class Supervised:
    """`supervise` in a thread."""

    def __init__(self, *children: Child) -> None:
        self.log: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=supervise, args=(children,), kwargs={"stop": self.stop, "log": self.log.append}
        )
        self.thread.start()

    def lines(self, text: str) -> list[str]:
        return [line for line in list(self.log) if text in line]

    def end(self) -> None:
        self.stop.set()
        self.thread.join()


@pytest.fixture
def supervised() -> Iterator[Callable[..., Supervised]]:
    """Starts supervisors and ends them with the test."""
    found: list[Supervised] = []

    def started(*children: Child) -> Supervised:
        found.append(Supervised(*children))
        return found[-1]

    yield started
    for item in found:
        item.end()


def python(name: str, code: str, **rest: Any) -> Child:
    return Child(name=name, argv=(sys.executable, "-c", code), **rest)


def test_a_child_that_dies_young_again_and_again_waits_longer_each_time(supervised: Any, eventually: Any) -> None:
    """First at once, then after 0.25 s, 0.5 s, ...; the log says how it ended and when it comes back."""
    found = supervised(python("job", "raise SystemExit(3)"))
    eventually(lambda: len(found.lines("ended")) >= 3, "three deaths")
    assert [line.rpartition("; ")[2] for line in found.lines("ended")[:3]] == [
        "starting it again",
        "starting it again in 0.25 s",
        "starting it again in 0.5 s",
    ]
    assert "job ended (exit 3)" in found.log[1]


def test_one_childs_death_leaves_the_others_running(supervised: Any, eventually: Any) -> None:
    """Only what died is started again."""
    found = supervised(python("a", _PATIENT), python("b", _PATIENT))
    eventually(lambda: len(found.lines("started")) == 2, "both run")
    os.kill(int(found.lines("a started")[0].split()[-1]), signal.SIGKILL)
    eventually(lambda: len(found.lines("a started")) == 2, "a runs again")
    assert len(found.lines("b started")) == 1
    assert found.lines("killed by signal 9") == ["a ended (killed by signal 9); starting it again"]


def test_a_child_gets_its_environment_and_descriptors(supervised: Any, eventually: Any, tmp_path: Path) -> None:
    """`env` as given, `pass_fds` under the same numbers, and the pipe of its parent."""
    said = tmp_path / "said"
    with said.open("wb") as file:
        fd = file.fileno()
        code = f"import os, time; os.write({fd}, os.environ['WORD'].encode()); time.sleep(60)"
        supervised(python("job", code, env={**os.environ, "WORD": "hello"}, pass_fds=(fd,)))
        eventually(lambda: said.read_text() == "hello", "the child has written")


def test_what_cannot_be_started_is_said_and_tried_again_later(supervised: Any, eventually: Any) -> None:
    """A missing program does not end the supervisor."""
    found = supervised(Child(name="job", argv=("/nowhere/program",)))
    eventually(lambda: found.lines("job cannot be started"), "it was tried")
    assert found.thread.is_alive()

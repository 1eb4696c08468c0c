"""`python -P -m flyball.pipeline.template SETUP`: imports a project once, then forks one process per step.

It runs no step itself and starts no thread. Commands come as JSON lines on standard input, events go as JSON lines to
standard output. At the end of its input it kills what it started and ends.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from flyball.pipeline.child import place_of, run_and_exit
from flyball.pipeline.step import declared_steps
from flyball.pipeline.task import Task


def main(setup: Mapping[str, Any]) -> None:
    """setup: directory, module, preload."""
    commands, events = _own_pipes()
    directory = Path(setup["directory"])
    os.chdir(directory)
    sys.path.insert(0, str(directory))
    try:
        module = _import(setup["module"], setup["preload"])
        steps = [asdict(step) for step in declared_steps(module)]
    except BaseException as error:  # noqa: BLE001  # the edge of a user's code; SystemExit too
        traceback.print_exception(error)
        text = f"{type(error).__name__}: {error}"
        _send(events, {"event": "refused", "error": text, "place": place_of(error, directory)})
        return
    # What lives now will live on: children need not copy pages only because the collector looks at them.
    gc.collect()
    gc.freeze()
    _send(events, {"event": "ready", "steps": steps, "sources": _sources(directory)})
    _Template(commands=commands, events=events, module=module).serve()


def _own_pipes() -> tuple[int, int]:
    """(commands, events): moved away from standard input and output, which a user's import may read or print to."""
    commands, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, events


def _import(name: str, preload: list[str]) -> ModuleType:
    for other in preload:
        try:
            import_module(other)
        except ImportError as error:  # only for speed: the step that needs it will say so
            sys.stderr.write(f"not preloaded: {error}\n")
    module = import_module(name)
    if "pandas" in sys.modules or "pyarrow" in sys.modules:
        # What `artifact` and `split` will import anyway: once here instead of once in each child.
        for part in ("parquet", "compute", "dataset", "pandas_compat"):
            import_module(f"pyarrow.{part}")
        import_module("flyball.pipeline.split")
    return module


def _sources(directory: Path) -> dict[str, int]:
    """File -> mtime in ns of every imported module that is the project's own."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    paths = [Path(file) for file in files if file]
    return {
        str(path): path.stat().st_mtime_ns
        for path in paths
        if path.is_relative_to(directory) and "site-packages" not in path.parts and path.exists()
    }


def _send(events: int, event: Mapping[str, Any]) -> None:
    os.write(events, orjson.dumps(event) + b"\n")


#: how long what a step has left running may take to end after it was asked to.
GRACE_S = 2.0

#: how often it is looked whether it has.
LOOK_MS = 50


@dataclass(slots=True)
class _Template:
    commands: int
    events: int
    module: ModuleType
    #: pid (also the process group) of each living child -> its task's name.
    children: dict[int, str] = field(default_factory=dict)
    #: read and write end of the pipe that tells children of our death.
    lifeline: tuple[int, int] = field(default_factory=os.pipe)
    #: process group that an ended child has left running -> monotonic time at which it is killed.
    leftovers: dict[int, float] = field(default_factory=dict)

    def serve(self) -> None:
        """Until the end of the commands."""
        wake, woken = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the signal would not reach the pipe
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._obey_all(wake, own=(self.commands, self.events, wake, woken, self.lifeline[1]))
        for pid in self.children:
            _signal(pid, signal.SIGKILL)
        while self._end_leftovers():
            time.sleep(LOOK_MS / 1000)

    def _obey_all(self, wake: int, own: tuple[int, ...]) -> None:
        # poll(), because epoll and kqueue are descriptors of their own, and forks share or lose them.
        poll = select.poll()
        poll.register(self.commands, select.POLLIN)
        poll.register(wake, select.POLLIN)
        rest = b""
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(LOOK_MS if self._end_leftovers() else None)}
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if self.commands in ready:
                received = os.read(self.commands, 65_536)
                if not received:
                    return
                *lines, rest = (rest + received).split(b"\n")
                for line in lines:
                    self._obey(orjson.loads(line), own)

    def _obey(self, command: Mapping[str, Any], own: tuple[int, ...]) -> None:
        if command["do"] == "start":
            self._fork(Task.from_json(command["task"]), own)
        else:
            for pid, name in self.children.items():
                if name == command["name"]:
                    _signal(pid, signal.SIGKILL)

    def _fork(self, task: Task, own: tuple[int, ...]) -> None:
        template = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads it did not start: OpenBLAS has some, and handles forks itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            run_and_exit(task, self.module, template=template, lifeline=self.lifeline[0], close=own)
        try:
            os.setpgid(pid, pid)  # the child does so too; whoever comes first
        except OSError:  # it has come first and ended already
            pass
        self.children[pid] = task.name
        _send(self.events, {"event": "started", "name": task.name, "pid": pid})

    def _reap(self) -> None:
        for pid in list(self.children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                # Asked first: joblib's resource tracker cleans shared memory after its parent's end, if it is let.
                if _signal(pid, signal.SIGTERM):
                    self.leftovers[pid] = time.monotonic() + GRACE_S
                name = self.children.pop(pid)
                _send(self.events, {"event": "ended", "name": name, "status": os.waitstatus_to_exitcode(status)})

    def _end_leftovers(self) -> bool:
        """Kill what did not end when asked; whether anything is left to wait for."""
        for group, patience in list(self.leftovers.items()):
            late = time.monotonic() >= patience
            if not _signal(group, signal.SIGKILL if late else 0) or late:
                del self.leftovers[group]
        return bool(self.leftovers)


def _signal(group: int, number: int) -> bool:
    """Signal a process group, 0 = only ask; whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone; macOS says EPERM of a group of zombies
        return False
    return True


if __name__ == "__main__":
    main(orjson.loads(sys.argv[1]))
    os._exit(0)

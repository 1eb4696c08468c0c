"""The parent's side of step processes: starts the warm template, hands it tasks, waits, kills what takes too long."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from flyball.errors import Finding, ProjectError, Unavailable
from flyball.pipeline.logs import tail
from flyball.pipeline.process import TemplateProcess
from flyball.pipeline.task import Outcome, Task, read_result
from flyball.project.steps import StepDeclaration

#: how long importing a project may take.
START_TIMEOUT_S = 300.0


@dataclass(slots=True, kw_only=True)
class _Running:
    task: Task
    started: float
    timeout_s: float | None
    #: of its process, and of its process group; None until the template has told.
    pid: int | None = None
    killed: bool = False
    #: whether the template has died under it once.
    orphaned: bool = False

    def left_s(self) -> float | None:
        """Seconds until it must be killed; None = never, or done so already."""
        if self.timeout_s is None or self.killed:
            return None
        return max(0.0, self.started + self.timeout_s - time.monotonic())


class StepWorkers:
    """One project's step processes. For use by one thread; give a second thread a second one.

    directory, module: where the project's pipeline lies and what it is called. preload: further modules to import once,
    before any step. log: file for what importing prints; None = nowhere. python: the interpreter.
    """

    def __init__(
        self,
        directory: Path,
        module: str,
        *,
        preload: Sequence[str] = (),
        log: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        self._directory = directory.absolute()
        self._module = module
        self._preload = tuple(preload)
        self._log = log
        self._python = python
        self._template: TemplateProcess | None = None
        #: what the template said when it was ready; None until then.
        self._imported: Mapping[str, Any] | None = None
        self._running: dict[str, _Running] = {}
        self._ended: deque[Outcome] = deque()

    def warm(self) -> None:
        """Start the template and return at once; it imports the project while the caller does something else."""
        if self._template is None:
            self._template = TemplateProcess(
                directory=self._directory,
                module=self._module,
                python=self._python,
                preload=self._preload,
                log=self._log,
            )

    def ready(self) -> None:
        """Wait until the project's present source is imported. Raises ProjectError if it cannot be.

        Tasks begun afterwards see that source, however it changes meanwhile: one run, one source.
        """
        if self._imported is not None and not self._running and self._is_stale(self._imported["sources"]):
            self.close()
        if self._imported is None:
            self.warm()
            self._imported = self._hear_import()

    def describe(self) -> tuple[StepDeclaration, ...]:
        """The steps as the imported module declares them."""
        self.ready()
        assert self._imported is not None
        return tuple(
            StepDeclaration(
                **{**step, "needs": tuple(step["needs"]), "given": tuple(step["given"]), "after": tuple(step["after"])}
            )
            for step in self._imported["steps"]
        )

    def sources(self) -> Mapping[str, bytes]:
        """The project's own files that were imported, and their text; `module_file` is among them."""
        self.ready()
        assert self._imported is not None
        paths = [Path(file) for file in self._imported["sources"]]
        return {path.relative_to(self._directory).as_posix(): path.read_bytes() for path in paths if path.exists()}

    @property
    def module_file(self) -> str:
        """The pipeline's module as a file of the project's directory."""
        return f"{self._module.replace('.', '/')}.py"

    def run(self, task: Task, timeout_s: float | None = None) -> Outcome:
        """Run one task to its end; timeout_s: seconds after which it is killed."""
        assert not self._running
        self.ready()
        self.start(task, timeout_s)
        outcome = self.wait()
        assert outcome is not None
        return outcome

    def start(self, task: Task, timeout_s: float | None = None) -> None:
        """Begin a task; `wait` tells its outcome. Raises ProjectError if the project cannot be imported."""
        if self._imported is None:
            self.ready()
        self._start(_Running(task=task, started=time.monotonic(), timeout_s=timeout_s))

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """The next outcome of the tasks begun; None if none came in time, or none was begun."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while self._running and not self._ended:
            assert self._template is not None
            waits = [running.left_s() for running in self._running.values()]
            if until is not None:
                waits.append(max(0.0, until - time.monotonic()))
            try:
                event = self._template.receive(min((wait for wait in waits if wait is not None), default=None))
            except EOFError:
                self._survive()
            else:
                self._note(event)
            self._kill_late()
            if until is not None and time.monotonic() >= until:
                break
        return self._ended.popleft() if self._ended else None

    def close(self) -> None:
        """Kill everything that runs, its template too; a later task starts a new one."""
        self._running.clear()
        self._ended.clear()
        self._end_template()

    def __enter__(self) -> StepWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, running: _Running) -> None:
        assert self._template is not None
        self._running[running.task.name] = running
        self._template.send({"do": "start", "task": running.task.to_json()})

    def _note(self, event: Mapping[str, Any] | None) -> None:
        if event is None:
            return
        running = self._running[event["name"]]
        if event["event"] == "started":
            running.pid = event["pid"]
        else:
            del self._running[event["name"]]
            self._ended.append(_outcome(running, f"its process {ending(event['status'])} before it had a result"))

    def _kill_late(self) -> None:
        for name, running in self._running.items():
            if running.left_s() == 0.0:
                assert self._template is not None
                running.killed = True
                self._template.send({"do": "kill", "name": name})

    def _survive(self) -> None:
        """The template died under its tasks: start each once more under a new one, and give up on a second death."""
        orphans = list(self._running.values())
        self._running.clear()
        status = self._end_template()
        again = []
        for orphan in orphans:
            _end_group(orphan.pid)
            if orphan.orphaned or orphan.killed or read_result(orphan.task) is not None:
                self._ended.append(
                    _outcome(orphan, f"the process that starts steps {ending(status)} while this one ran")
                )
            else:
                shutil.rmtree(orphan.task.context.folder, ignore_errors=True)
                again.append(orphan)
        if again:
            self.ready()
        for orphan in again:
            self._start(replace(orphan, started=time.monotonic(), pid=None, orphaned=True))

    def _hear_import(self) -> Mapping[str, Any]:
        """The template's first word."""
        assert self._template is not None
        try:
            event = self._template.receive(START_TIMEOUT_S)
        except EOFError:
            status = self._end_template()
            said = "" if self._log is None else f"; {self._log} ends with\n{tail(self._log)}"
            raise Unavailable(
                f"the process that imports {self._module} {ending(status)} before it was ready{said}"
            ) from None
        if event is None:
            self._end_template()
            raise Unavailable(f"importing {self._module} from {self._directory} took over {START_TIMEOUT_S:g} s")
        if event["event"] == "refused":
            self._end_template()
            file, line = event["place"] or (f"{self._module.replace('.', '/')}.py", None)
            raise ProjectError((Finding(file=file, line=line, message=f"cannot be imported: {event['error']}"),))
        return event

    def _end_template(self) -> int:
        self._imported = None
        template, self._template = self._template, None
        return 0 if template is None else template.close()

    def _is_stale(self, sources: Mapping[str, int]) -> bool:
        return any(not Path(file).exists() or Path(file).stat().st_mtime_ns != at for file, at in sources.items())


def ending(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    hint = " (did the machine run out of memory?)" if -status == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{hint}"


def _outcome(running: _Running, otherwise: str) -> Outcome:
    """What the task's process left, or else why it left nothing."""
    left = read_result(running.task)
    if left is not None:
        return left
    if running.killed:
        otherwise = f"took longer than timeout_s = {running.timeout_s:g} and was killed"
    seconds = time.monotonic() - running.started
    return Outcome(name=running.task.name, seconds=seconds, artifact=None, error=otherwise, killed=running.killed)


def _end_group(pid: int | None) -> None:
    """End what a dead template has left of a step. Where prctl is, the step itself is dead; what it started is not."""
    if pid is None:
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nothing is left
        pass

"""The parent's side of step processes: starts the warm template, hands it tasks, waits, kills what takes too long."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from flyball.pipeline.task import Outcome, Task
from flyball.project.steps import StepDeclaration


class StepWorkers:
    """One project's step processes. For use by one thread; start a second one for a second thread.

    directory, module: where the project's pipeline lies and what it is called. log: file for what importing it prints.
    python: the interpreter. preload: further modules to import once, before any step.
    """

    def __init__(
        self, *, directory: Path, module: str, log: Path, python: str = sys.executable, preload: Sequence[str] = ()
    ) -> None:
        raise NotImplementedError

    def warm(self) -> None:
        """Start the template and return at once; it imports the project while the caller does something else."""
        raise NotImplementedError

    def ready(self) -> None:
        """Wait until the project is imported, with its present source. Raises ProjectError if it cannot be."""
        raise NotImplementedError

    def describe(self) -> tuple[StepDeclaration, ...]:
        """The steps as the imported module declares them."""
        raise NotImplementedError

    def run(self, task: Task, timeout_s: float | None = None) -> Outcome:
        """Run one task to its end."""
        raise NotImplementedError

    def start(self, task: Task, timeout_s: float | None = None) -> None:
        """Begin a task; `wait` tells its outcome."""
        raise NotImplementedError

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """The next outcome of the tasks begun; None if none came in time."""
        raise NotImplementedError

    def close(self) -> None:
        """Kill everything that still runs."""
        raise NotImplementedError

    def __enter__(self) -> StepWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

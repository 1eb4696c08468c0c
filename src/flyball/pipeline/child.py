"""One step's process, just forked from the template: detach, call the function, leave the result, end."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from flyball.errors import Mistake
from flyball.pipeline.artifact import load, save
from flyball.pipeline.step import step_functions
from flyball.pipeline.task import VALUE, Task, write_result

PR_SET_PDEATHSIG = 1

#: whole seconds that a step's threads and exit functions may take after its result is written.
FAREWELL_S = 5

#: loaded before the fork: a child should do as little as it can before it is safe from being orphaned.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_and_exit(task: Task, module: ModuleType, *, template: int, lifeline: int, close: Iterable[int]) -> NoReturn:
    """Run the task and end this process: 0 if a result was left, of success or of failure.

    template: pid of the parent. lifeline: read end of a pipe whose write end only the template holds.
    close: what belongs to the template alone.
    """
    status = 1
    try:
        for descriptor in close:
            os.close(descriptor)
        _reset_signals()
        os.setpgid(0, 0)
        _die_with(template, lifeline)
        _redirect(task)
        _run(task, module)
        _take_leave()
        sys.stdout.flush()
        sys.stderr.flush()
        status = 0
    except BaseException as error:  # noqa: BLE001  # for example a full disk: nobody above would tell of it
        traceback.print_exception(error)
    finally:
        # Never return into the template's loop.
        os._exit(status)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _die_with(template: int, lifeline: int) -> None:
    """Let this process be killed when the template dies, even by SIGKILL."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=die_at_end_of, args=(lifeline,), daemon=True).start()
    if os.getppid() != template:  # it died before we had asked
        os._exit(1)


def die_at_end_of(lifeline: int) -> None:
    """Wait for the pipe's other end to close, then kill this process and all it started. For where prctl is not."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _redirect(task: Task) -> None:
    """Standard output and error go to the log, line by line, so that a killed step's last words are there."""
    log = os.open(task.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("flyball").setLevel(logging.INFO)
    sys.stderr.write(f"--- {task.name}, attempt {task.context.folder.name}\n")


def _run(task: Task, module: ModuleType) -> None:
    started = time.perf_counter()
    artifact = error = None
    task.context.folder.mkdir(parents=True)
    try:
        function = _find(task.target, module)
        arguments = _arguments(task)
        _seed(task.context.seed)
        artifact = save(function(**arguments), task.context.folder / VALUE, root=task.context.path)
    except BaseException as failure:  # noqa: BLE001  # the edge of a user's code: all of it is an outcome, SystemExit too
        traceback.print_exception(failure)
        error = describe(failure, Path.cwd())
    write_result(task, seconds=time.perf_counter() - started, artifact=artifact, error=error)


def _take_leave() -> None:
    """What the interpreter does at its end, in its order: joblib stops its workers and removes shared memory there.

    The result is written already, so a thread or a function that never ends costs FAREWELL_S and nothing else.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(FAREWELL_S)
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does in its forked children
    atexit._run_exitfuncs()


def _find(target: str, module: ModuleType) -> Any:
    name, colon, function = target.partition(":")
    if colon:
        return getattr(import_module(name), function)
    steps = step_functions(module)
    if target not in steps:
        raise Mistake(f"{module.__name__} has no step {target!r}; it has {', '.join(steps) or 'none'}")
    return steps[target]


def _arguments(task: Task) -> dict[str, Any]:
    context = task.context
    given = {"window": context.window, "params": dict(context.params), "seed": context.seed, "run": context}
    return {
        **{parameter: load(artifact, context.path) for parameter, artifact in task.inputs.items()},
        **{parameter: given[parameter] for parameter in task.given},
        **task.constants,
    }


def _seed(seed: int) -> None:
    """The global generators, for code that does not take `seed`."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)


def describe(error: BaseException, directory: Path) -> str:
    """`ValueError: no rows (pipeline.py:12)`: the innermost line that is the project's own, if there is one."""
    text = f"{type(error).__name__}: {error}"
    place = place_of(error, directory)
    return text if place is None else f"{text} ({place[0]}:{place[1]})"


def place_of(error: BaseException, directory: Path) -> tuple[str, int] | None:
    """(file relative to the project's directory, line) where an error arose."""
    places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
    for file, line in reversed(places):
        path = Path(file)
        if path.is_relative_to(directory) and "site-packages" not in path.parts:
            return path.relative_to(directory).as_posix(), line
    return None

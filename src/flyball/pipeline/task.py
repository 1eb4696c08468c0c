"""What is asked of a step's process and what comes back: one call, and how it ended. Both travel as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.step import ModelNames, RunContext, Window

#: what a step's process leaves in its folder, last of all.
RESULT = "result.json"

#: the folder of the result's own files, inside the step's.
VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One call of one function, in a process of its own."""

    name: str
    #: a `@step` of the project's module, or `package.module:function`.
    target: str
    #: parameter -> result of another step, in the run's folder.
    inputs: Mapping[str, Artifact]
    #: which of window, params, seed, run it takes.
    given: tuple[str, ...]
    #: parameter -> plain JSON value.
    constants: Mapping[str, Any]
    #: its `folder` is where result and files go: the step's process makes it, and it must not exist yet.
    context: RunContext
    #: standard output and error, and the context's logger, are appended here.
    log: Path

    def digest(self) -> str:
        """64 hex digits over what is called with what. What the run gives is left out: it never changes within a run,
        but for `refit`, and what is trained again has a name of its own."""
        inputs = {parameter: artifact.sha256 for parameter, artifact in self.inputs.items()}
        call = [self.target, inputs, sorted(self.given), dict(self.constants)]
        return hashlib.sha256(orjson.dumps(call, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "target": self.target,
            "inputs": {parameter: artifact.to_json() for parameter, artifact in self.inputs.items()},
            "given": list(self.given),
            "constants": dict(self.constants),
            "context": self.context.to_json(),
            "log": str(self.log),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Task:
        return Task(
            name=value["name"],
            target=value["target"],
            inputs={parameter: Artifact.from_json(item) for parameter, item in value["inputs"].items()},
            given=tuple(value["given"]),
            constants=value["constants"],
            context=RunContext.from_json(value["context"]),
            log=Path(value["log"]),
        )


def lone_task(
    name: str,
    target: str,
    constants: Mapping[str, Any],
    *,
    folder: Path,
    log: Path,
    now: datetime,
    given: tuple[str, ...] = (),
) -> Task:
    """A call that belongs to no run; its files go into `folder`."""
    context = RunContext(
        id=name,
        path=folder,
        folder=folder / "1",
        model=ModelNames(target="", features=None, key=None, timestamp=None, positive=None, task=""),
        refit=False,
        now=now,
        window=Window(start=None, end=now),
        params={},
        seed=0,
    )
    return Task(name=name, target=target, inputs={}, given=given, constants=constants, context=context, log=log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended: with an artifact, or with an error."""

    #: the task's name.
    name: str
    #: measured, of the call and of writing its result.
    seconds: float
    artifact: Artifact | None
    #: one line, with the user's file:line where there is one; the traceback is in the log.
    error: str | None
    #: whether it was killed for taking too long.
    killed: bool = False
    #: the earlier run whose result stands in for what could not be made; None: it was made here.
    fallback: str | None = None


def write_result(
    task: Task, *, seconds: float, artifact: Artifact | None, error: str | None, fallback: str | None = None
) -> None:
    """Leave a task's outcome in its folder, whole or not at all: from then on the step has ended."""
    result = {
        "call": task.digest(),
        "seconds": seconds,
        "artifact": None if artifact is None else artifact.to_json(),
        "error": error,
        "fallback": fallback,
    }
    draft = task.context.folder / f".{RESULT}.draft"
    draft.write_bytes(orjson.dumps(result))
    draft.replace(task.context.folder / RESULT)


def read_result(task: Task) -> Outcome | None:
    """The outcome of this very call, if its process left one before it ended."""
    try:
        result = orjson.loads((task.context.folder / RESULT).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    if result["call"] != task.digest():
        return None
    artifact = None if result["artifact"] is None else Artifact.from_json(result["artifact"])
    return Outcome(
        name=task.name,
        seconds=result["seconds"],
        artifact=artifact,
        error=result["error"],
        fallback=result.get("fallback"),
    )

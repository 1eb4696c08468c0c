"""What is asked of a step's process and what comes back: one call, and how it ended. Both travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.pipeline.artifact import Artifact
from flyball.pipeline.step import RunContext

#: what a step's process leaves in its folder when it has ended by itself.
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
    #: its `folder` is where result and files go: it is made, and must not exist yet.
    context: RunContext
    #: standard output and error, and the context's logger, are appended here.
    log: Path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended: with an artifact, or with an error."""

    #: the task's name.
    name: str
    #: measured, of the call and of writing its result.
    seconds: float
    artifact: Artifact | None
    #: one line with the user's file:line where there is one; the traceback is in the log.
    error: str | None
    #: whether it was killed for taking too long.
    killed: bool = False

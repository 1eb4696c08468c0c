"""What a user's pipeline is written with: the `@step` decorator, and the records a step may ask for.

Decorating only notes the options on the function; it stays an ordinary function, callable in any test.
"""

from __future__ import annotations

import inspect
import linecache
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, overload

from flyball.errors import Mistake
from flyball.project.steps import GIVEN, ON_FAILURE, OnFailure, StepDeclaration
from flyball.project.wording import nearest
from flyball.store.clock import moment, stamp

F = TypeVar("F", bound=Callable[..., Any])

#: where `@step` leaves its options on the function.
MARK = "__flyball_step__"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What `@step(...)` was given."""

    retries: int
    backoff_s: float
    timeout_s: float | None
    after: tuple[str, ...]
    on_failure: OnFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The data a run may look at: start <= event time < end, aware UTC."""

    #: None = everything there is before `end`.
    start: datetime | None
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNames:
    """What `[model]` calls its columns; as in `project.ModelSettings`."""

    target: str
    features: tuple[str, ...] | None
    key: str | None
    timestamp: str | None
    positive: str | None
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a step gets when it asks for `run`."""

    id: str
    #: the run's folder: `runs/RUN`.
    path: Path
    #: the step's own folder, new for every attempt; what it leaves there is kept. Outside a step: the same as `path`.
    folder: Path
    model: ModelNames
    #: whether this trains once more, on all rows, what already passed the gate.
    refit: bool
    #: decision time: nothing known later may enter.
    now: datetime
    window: Window
    params: Mapping[str, Any]
    seed: int

    @property
    def logger(self) -> logging.Logger:
        """Writes to the step's log."""
        return logging.getLogger("flyball.run")

    def to_json(self) -> dict[str, Any]:
        window = {
            "start": None if self.window.start is None else stamp(self.window.start),
            "end": stamp(self.window.end),
        }
        return {
            "id": self.id,
            "path": str(self.path),
            "folder": str(self.folder),
            "model": asdict(self.model),
            "refit": self.refit,
            "now": stamp(self.now),
            "window": window,
            "params": dict(self.params),
            "seed": self.seed,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunContext:
        model, window = value["model"], value["window"]
        features = None if model["features"] is None else tuple(model["features"])
        start = None if window["start"] is None else moment(window["start"])
        return RunContext(
            id=value["id"],
            path=Path(value["path"]),
            folder=Path(value["folder"]),
            model=ModelNames(**{**model, "features": features}),
            refit=value["refit"],
            now=moment(value["now"]),
            window=Window(start=start, end=moment(window["end"])),
            params=value["params"],
            seed=value["seed"],
        )


@overload
def step(function: F) -> F: ...
@overload
def step(
    *,
    retries: int = 0,
    backoff_s: float = 1.0,
    timeout_s: float | None = None,
    after: Sequence[str] = (),
    on_failure: str = "fail",
) -> Callable[[F], F]: ...
def step(
    function: F | None = None,
    *,
    retries: int = 0,
    backoff_s: float = 1.0,
    timeout_s: float | None = None,
    after: Sequence[str] = (),
    on_failure: str = "fail",
) -> F | Callable[[F], F]:
    """Mark a function as a step of the pipeline.

    Its parameters name the steps whose results it takes, or what the run gives: `window`, `params`, `seed`, `run`.

    retries: further attempts after a failure. backoff_s: seconds before the first of them, doubled each time.
    timeout_s: seconds after which an attempt is killed and counts as failed; None = never.
    after: steps that must come first although their results are not taken.
    on_failure: what becomes of the run when the retries are used up. "fail": it fails. "use_last_good": the newest result
    that an earlier run made of this step, by the same recipe, stands in, and the version is marked as degraded; not for
    the model's step, nor for held-out rows. Raises Mistake for values out of range.

    >>> @step(retries=2, backoff_s=0.5)
    ... def collect(window):
    ...     return [1, 2, 3]
    >>> collect(None)
    [1, 2, 3]
    """
    if on_failure not in ON_FAILURE:
        raise Mistake(f"@step(on_failure={on_failure!r}): is unknown{nearest(str(on_failure), ON_FAILURE)}")
    options = StepOptions(
        retries=retries,
        backoff_s=backoff_s,
        timeout_s=timeout_s,
        after=_names(after),
        on_failure=on_failure,
    )
    _check(options)

    def marked(function: F) -> F:
        setattr(function, MARK, options)
        return function

    return marked if function is None else marked(function)


def _names(after: Sequence[str]) -> tuple[str, ...]:
    if isinstance(after, str):
        raise Mistake(f"@step(after={after!r}): got a text, needs a list of step names; write after=[{after!r}]")
    return tuple(after)


def _check(options: StepOptions) -> None:
    if isinstance(options.retries, bool) or not isinstance(options.retries, int) or options.retries < 0:
        raise Mistake(f"@step(retries={options.retries!r}): needs a whole number, 0 or more")
    if not options.backoff_s >= 0:
        raise Mistake(f"@step(backoff_s={options.backoff_s!r}): needs seconds, 0 or more")
    if options.timeout_s is not None and not options.timeout_s > 0:
        raise Mistake(f"@step(timeout_s={options.timeout_s!r}): needs seconds, more than 0, or None for no limit")


def step_functions(module: ModuleType) -> dict[str, FunctionType]:
    """Name -> function of every `@step` that the module defines, in order; as `project.declared` reads its text."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and hasattr(value, MARK)
        and (value.__name__, value.__module__) == (name, module.__name__)
    }


def declared_steps(module: ModuleType) -> tuple[StepDeclaration, ...]:
    """The declarations of an imported pipeline: what `project.declared` reads from its text without importing it."""
    return tuple(_declaration(name, function) for name, function in step_functions(module).items())


def _declaration(name: str, function: FunctionType) -> StepDeclaration:
    options: StepOptions = getattr(function, MARK)
    parameters = tuple(inspect.signature(function).parameters)
    return StepDeclaration(
        name=name,
        needs=tuple(parameter for parameter in parameters if parameter not in GIVEN),
        given=tuple(parameter for parameter in parameters if parameter in GIVEN),
        after=options.after,
        retries=options.retries,
        backoff_s=options.backoff_s,
        timeout_s=options.timeout_s,
        on_failure=options.on_failure,
        line=_line_of_def(function),
    )


def _line_of_def(function: FunctionType) -> int:
    """Code objects point at the first decorator; the declaration names the line of the `def`."""
    code: CodeType = inspect.unwrap(function).__code__
    for number, text in enumerate(linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]):
        if text.lstrip().startswith(("def ", "async def ")):
            return code.co_firstlineno + number
    return code.co_firstlineno

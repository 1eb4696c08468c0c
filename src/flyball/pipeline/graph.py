"""The steps of a run as calls, in what order they may go, and which of them should go first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from flyball.errors import Mistake
from flyball.project.steps import OnFailure, StepDeclaration

#: taken for what a step takes that has never run.
UNKNOWN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """One step of a run: what to call with what, and how patiently."""

    name: str
    #: a `@step` of the project's module, or `package.module:function`.
    target: str
    #: parameter -> name of the step whose result it takes.
    inputs: Mapping[str, str] = field(default_factory=dict)
    #: which of window, params, seed, run it takes.
    given: tuple[str, ...] = ()
    #: parameter -> plain JSON value.
    constants: Mapping[str, Any] = field(default_factory=dict)
    #: steps that must come first although their results are not taken.
    after: tuple[str, ...] = ()
    #: whether it trains once more, on all rows, what already passed the gate: `run.refit`.
    refit: bool = False
    retries: int = 0
    #: seconds before the first retry, doubled each time.
    backoff_s: float = 1.0
    timeout_s: float | None = None
    #: what becomes of the run when the retries are used up.
    on_failure: OnFailure = "fail"


def calls_of(declarations: Sequence[StepDeclaration]) -> tuple[StepCall, ...]:
    """The calls of a project's declared steps."""
    return tuple(
        StepCall(
            name=step.name,
            target=step.name,
            inputs={name: name for name in step.needs},
            given=step.given,
            after=step.after,
            retries=step.retries,
            backoff_s=step.backoff_s,
            timeout_s=step.timeout_s,
            on_failure=step.on_failure,
        )
        for step in declarations
    )


def ordered(steps: Sequence[StepCall]) -> TopologicalSorter[str]:
    """The steps' graph, ready to be walked. Raises Mistake for unknown names and for cycles."""
    names = {call.name for call in steps}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for call in steps:
        first = [*call.inputs.values(), *call.after]
        unknown = [name for name in first if name not in names]
        if unknown:
            raise Mistake(
                f"step {call.name!r} needs {', '.join(unknown)}; the run's steps are {', '.join(sorted(names))}"
            )
        sorter.add(call.name, *first)
    try:
        sorter.prepare()
    except CycleError as error:
        raise Mistake(f"steps wait for each other: {' -> '.join(reversed(error.args[1]))}") from error
    return sorter


def longest_ways(calls: Mapping[str, StepCall], seconds: Mapping[str, float]) -> dict[str, float]:
    """Step -> seconds from its beginning to the end of the longest chain that begins with it, if steps take `seconds`.

    Where fewer steps can run than may, those on the longest way go first: the run ends no sooner than that way does
    (Hu 1961, doi:10.1287/opre.9.6.841).
    """
    graph = {name: {*call.inputs.values(), *call.after} for name, call in calls.items()}
    after = dict.fromkeys(graph, 0.0)
    found: dict[str, float] = {}
    for name in reversed(list(TopologicalSorter(graph).static_order())):
        found[name] = seconds.get(name, UNKNOWN_S) + after[name]
        for first in graph[name]:
            after[first] = max(after[first], found[name])
    return found

"""What a pipeline declares: its steps, what each needs, and the order they run in. Pure; nothing is imported or run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from flyball.project.wording import nearest

#: Names the run gives to any step that asks; refused as step names.
GIVEN = ("window", "params", "seed", "run")

#: Flyball's own last steps; refused as step names.
RESERVED = ("deploy", "monitor")

#: What becomes of a run whose step has failed after its retries: it fails, or an earlier run's result stands in.
OnFailure = Literal["fail", "use_last_good"]
ON_FAILURE: tuple[OnFailure, ...] = ("fail", "use_last_good")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDeclaration:
    """One `@step` function, as declared."""

    name: str
    #: steps whose results are its parameters, in parameter order.
    needs: tuple[str, ...]
    #: which of GIVEN it takes.
    given: tuple[str, ...]
    #: steps it must follow without taking their results.
    after: tuple[str, ...] = ()
    #: further attempts after the first failure.
    retries: int = 0
    #: wait before attempt k+1: backoff_s * 2**k.
    backoff_s: float = 1.0
    timeout_s: float | None = None
    on_failure: OnFailure = "fail"
    #: line of its `def` in the pipeline's file.
    line: int = 0


def order(declarations: Sequence[StepDeclaration], *, model: str, holdout: str | None) -> tuple[StepDeclaration, ...]:
    """The steps in the order they run: what the model and the hold-out need first, then by declaration.

    Every step runs, needed or not. The declarations must be free of `problems`.
    """
    needed = upstream(declarations, model) | (upstream(declarations, holdout) if holdout else frozenset())
    rank = {step.name: (step.name not in needed, place) for place, step in enumerate(declarations)}
    by_name = {step.name: step for step in declarations}
    sorter = TopologicalSorter({step.name: (*step.needs, *step.after) for step in declarations})
    sorter.prepare()
    ready, ordered = list(sorter.get_ready()), []
    while ready:
        ready.sort(key=rank.__getitem__, reverse=True)
        name = ready.pop()
        ordered.append(by_name[name])
        sorter.done(name)
        ready.extend(sorter.get_ready())
    return tuple(ordered)


def upstream(declarations: Sequence[StepDeclaration], name: str) -> frozenset[str]:
    """The step `name` and every step whose result reaches it; unknown names are passed over."""
    needs = {step.name: step.needs for step in declarations}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        step = waiting.pop()
        if step in needs and step not in found:
            found.add(step)
            waiting.extend(needs[step])
    return frozenset(found)


def problems(declarations: Sequence[StepDeclaration]) -> tuple[tuple[int, str], ...]:
    """(line, message) for whatever keeps these steps from running."""
    found = [*_name_problems(declarations), *_need_problems(declarations)]
    return tuple(found or _cycle_problems(declarations))


def fallback_problems(
    declarations: Sequence[StepDeclaration], *, model: str, holdout: str | None
) -> tuple[tuple[int, str], ...]:
    """(line, message) for every step that asks for its last good result where none may stand in."""
    found = []
    for step in declarations:
        obstacle = _fallback_obstacle(declarations, step.name, model, holdout)
        if step.on_failure == "use_last_good" and obstacle:
            found.append(
                (step.line, f'step {step.name}: on_failure "use_last_good" {obstacle}; use "fail" with retries')
            )
    return tuple(found)


def _fallback_obstacle(
    declarations: Sequence[StepDeclaration], name: str, model: str, holdout: str | None
) -> str | None:
    if name == model:
        return "cannot be honoured on the model's step: an earlier run's model is a version already"
    into_model = name in upstream(declarations, model)
    if not into_model and holdout is not None and name in upstream(declarations, holdout):
        # What training takes would be newer than the rows that are to be new to it.
        return f"cannot be honoured for held-out rows ({holdout}): a model could be judged on rows it was trained on"
    if model in upstream(declarations, name):
        return f"cannot be honoured after {model}: an earlier run's result is about an earlier model"
    return None


def _name_problems(declarations: Sequence[StepDeclaration]) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for step in declarations:
        if step.name in GIVEN:
            yield step.line, f"step {step.name}: this name is what the run gives ({', '.join(GIVEN)}); rename the step"
        elif step.name in RESERVED:
            yield (
                step.line,
                f"step {step.name}: this name is a step of Flyball's own ({', '.join(RESERVED)}); rename the step",
            )
        elif step.name in first:
            yield (
                step.line,
                f"step {step.name}: there is one of this name on line {first[step.name]} already; rename one",
            )
        first.setdefault(step.name, step.line)


def _need_problems(declarations: Sequence[StepDeclaration]) -> Iterator[tuple[int, str]]:
    names = tuple(step.name for step in declarations)
    for step in declarations:
        known = tuple(name for name in names if name != step.name)
        for need in step.needs:
            if need not in names:
                yield (
                    step.line,
                    f'step {step.name}: parameter "{need}" is neither a step nor given{nearest(need, known + GIVEN)}',
                )
        for before in step.after:
            if before not in names:
                yield step.line, f'step {step.name}: after names an unknown step "{before}"{nearest(before, known)}'


def _cycle_problems(declarations: Sequence[StepDeclaration]) -> Iterator[tuple[int, str]]:
    try:
        TopologicalSorter({step.name: (*step.needs, *step.after) for step in declarations}).prepare()
    except CycleError as error:
        # graphlib names it with the flow: each entry is taken by the next.
        cycle: list[str] = error.args[1]
        lines = {step.name: step.line for step in declarations}
        yield lines[cycle[0]], f"steps go round in a circle: {' -> '.join(cycle)}; break it"

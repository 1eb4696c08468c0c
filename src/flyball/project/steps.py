"""What a pipeline declares: its steps, what each needs, and the order they run in. Pure; nothing is imported or run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from flyball.project.wording import nearest

#: Names the run gives to any step that asks; refused as step names.
GIVEN = ("window", "params", "seed", "run")

#: Flyball's own last steps; refused as step names.
RESERVED = ("deploy", "monitor")


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

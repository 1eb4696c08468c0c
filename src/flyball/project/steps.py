"""What a pipeline declares: its steps, what each needs, and the order they run in. Pure; nothing is imported or run."""

from __future__ import annotations

from dataclasses import dataclass

#: Names the run gives to any step that asks; refused as step names.
GIVEN = ("window", "params", "seed", "run")


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

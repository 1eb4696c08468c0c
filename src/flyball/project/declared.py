"""Which steps a pipeline's module declares, read from its text: the module is neither imported nor run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

from flyball.project.steps import GIVEN, ON_FAILURE, StepDeclaration
from flyball.project.wording import nearest, shown

Function = ast.FunctionDef | ast.AsyncFunctionDef

#: (line, message)
Fault = tuple[int | None, str]


def read_steps(source: bytes) -> tuple[tuple[StepDeclaration, ...], tuple[Fault, ...]]:
    """The steps of a module in the order of their text, and what in their declarations cannot be honoured."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in the user's strings is not ours to report
            tree = ast.parse(source)
    except SyntaxError as error:
        return (), ((error.lineno, f"not valid Python: {error.msg}"),)
    except (ValueError, RecursionError, MemoryError) as error:
        return (), ((None, f"not valid Python: {error or 'nested too deeply'}"),)
    steps: list[StepDeclaration] = []
    faults: list[Fault] = []
    for function, decorator in _decorated(tree):
        if function not in tree.body:
            faults.append(
                (
                    function.lineno,
                    f"step {function.name}: is declared inside another block; move it to the module's top level",
                )
            )
            continue
        step, wrong = _declaration(function, decorator)
        steps.append(step)
        faults.extend(wrong)
    if not steps and not faults:
        faults.append((None, "declares no steps; write `from flyball import step` and put @step on a function"))
    return tuple(steps), tuple(faults)


def source_of(source: bytes, steps: Collection[str]) -> str:
    """A module's text as far as it makes these steps: without the other steps, comments, blanks and `@step(...)` itself.

    What they share stays: constants, helpers, imports. A text that cannot be read is given as it is.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source.decode(errors="replace")
    for function, decorator in list(_decorated(tree)):
        if function.name in steps:
            function.decorator_list.remove(decorator)
        elif function in tree.body:
            tree.body.remove(function)
    return ast.unparse(tree)


def _decorated(tree: ast.Module) -> Iterator[tuple[Function, ast.expr]]:
    """Functions under `@step`, `@step(...)`, `@flyball.step(...)`, or the names these were imported as, in order of line."""
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    names = _imported(tree)
    for function in sorted(functions, key=lambda node: node.lineno):
        for decorator in function.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _dotted(called) in names:
                yield function, decorator
                break


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _imported(tree: ast.Module) -> set[str]:
    names = {"step", "flyball.step"}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "flyball":
            names.update(alias.asname or alias.name for alias in node.names if alias.name == "step")
        elif isinstance(node, ast.Import):
            names.update(f"{alias.asname}.step" for alias in node.names if alias.name == "flyball" and alias.asname)
    return names


def _declaration(function: Function, decorator: ast.expr) -> tuple[StepDeclaration, list[Fault]]:
    name, line = function.name, function.lineno
    wrong: list[str] = []
    if isinstance(function, ast.AsyncFunctionDef):
        wrong.append("is async; a step is a plain function")
    arguments = function.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        wrong.append("takes *args, **kwargs or positional-only parameters; name each parameter")
    taken = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    options: dict[str, Any] = {}
    if isinstance(decorator, ast.Call):
        options = _options(decorator, wrong)
    step = StepDeclaration(
        name=name,
        needs=tuple(item for item in taken if item not in GIVEN),
        given=tuple(item for item in taken if item in GIVEN),
        line=line,
        **options,
    )
    return step, [(line, f"step {name}: {message}") for message in wrong]


def _options(call: ast.Call, wrong: list[str]) -> dict[str, Any]:
    """The decorator's arguments that can be honoured; the others leave a message in `wrong`."""
    options: dict[str, Any] = {}
    if call.args:
        wrong.append("@step takes its arguments by name, such as @step(retries=3)")
    for keyword in call.keywords:
        if keyword.arg is None:
            wrong.append("@step(**...) cannot be read without running it; write the arguments out")
        elif keyword.arg not in _OPTIONS:
            wrong.append(f"@step has no argument {keyword.arg}{nearest(keyword.arg, tuple(_OPTIONS))}")
        else:
            try:
                options[keyword.arg] = _OPTIONS[keyword.arg](ast.literal_eval(keyword.value))
            except _NotHonoured as error:
                wrong.append(f"{keyword.arg} {error}")
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                wrong.append(
                    f"{keyword.arg} must be written out as a plain value: it is read without running the module"
                )
    return options


class _NotHonoured(Exception):
    """A plain value, but not one that is allowed here."""


def _retries(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100:
        return value
    raise _NotHonoured("needs a whole number from 0 to 100")


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 604_800:
        return float(value)
    raise _NotHonoured("needs seconds, from 0 to 604800 (a week)")


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    if _seconds(value) == 0:
        raise _NotHonoured("needs seconds above 0, or None for no limit")
    return _seconds(value)


def _after(value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _NotHonoured('needs a list of step names in quotes, such as ["collect"]')


def _on_failure(value: Any) -> str:
    if value in ON_FAILURE:
        return str(value)
    raise _NotHonoured(f"{shown(value)} is unknown{nearest(str(value), ON_FAILURE)}")


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "retries": _retries,
    "backoff_s": _seconds,
    "timeout_s": _timeout,
    "after": _after,
    "on_failure": _on_failure,
}

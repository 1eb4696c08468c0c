"""Reads a project's folder: one frozen record, or every finding at once. Runs none of the user's code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flyball.errors import Finding, ProjectError
from flyball.project.build import build_project
from flyball.project.checks import cross_checks
from flyball.project.declared import read_steps
from flyball.project.document import Problem, label, read_document
from flyball.project.gate_checks import holdout_step
from flyball.project.locate import Place, lines_of
from flyball.project.records import Project
from flyball.project.steps import StepDeclaration, fallback_problems, problems

SETTINGS = "flyball.toml"


def load_project(directory: Path | str, *, changed: Mapping[str, Mapping[str, Any]] | None = None) -> Project:
    """The project in `directory`; ProjectError carries all findings, sorted by file and line.

    `changed`: section -> key -> value, read as if flyball.toml said so; nothing is written.
    """
    folder = Path(directory).absolute()
    text, document = _read_settings(folder)
    for section, keys in (changed or {}).items():
        document[section] = {**document.get(section, {}), **keys}
    values, refused = read_document(document)
    lines = lines_of(text)
    module: str = values["pipeline"]["module"]
    steps: tuple[StepDeclaration, ...] = ()
    if values["model"]["adopted"]:
        findings = _beside_adopted(folder, module, _line(lines, ("model", "adopted")))
    else:
        steps, findings = _read_pipeline(folder, module, _line(lines, ("pipeline", "module")))
    findings += _fallbacks(values, steps, module)
    crossed = cross_checks(values, steps, frozenset(problem.path for problem in refused))
    findings += [_finding(problem, lines) for problem in (*refused, *crossed)]
    if findings:
        raise ProjectError(_sorted(findings))
    return build_project(folder, values, steps)


def check_project(directory: Path | str) -> tuple[Finding, ...]:
    """Every finding, sorted by file and line; empty where `load_project` would succeed."""
    try:
        load_project(directory)
    except ProjectError as error:
        return error.findings
    return ()


def load_steps(project: Project) -> tuple[StepDeclaration, ...]:
    """The steps of a loaded project as its module declares them now, in the order of its text; ProjectError if it broke since.

    None of a model that is adopted.
    """
    if project.model.adopted:
        return ()
    steps, findings = _read_pipeline(project.directory, project.pipeline.module, None)
    if findings:
        raise ProjectError(_sorted(findings))
    return steps


def _read_settings(folder: Path) -> tuple[str, dict[str, Any]]:
    path = folder / SETTINGS
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise _alone(None, f"is not in {folder}; run `flyball init {folder}` to begin one there") from None
    except OSError as error:
        raise _alone(None, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _alone(None, f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise _alone(None, "is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one; an integer of thousands of digits is another
        raise _alone(_syntax_line(str(error), text), f"is not valid TOML: {_lowered(str(error))}") from None


def _syntax_line(message: str, text: str) -> int | None:
    if "end of document" in message:
        return text.rstrip().count("\n") + 1
    match = re.search(r"\(at line (\d+)", message)
    return int(match[1]) if match else None


def _lowered(message: str) -> str:
    """tomllib's message without the place, which the finding carries."""
    bare = re.sub(r" \(at (?:line \d+, column \d+|end of document)\)$", "", message)
    return bare[:1].lower() + bare[1:]


def _read_pipeline(folder: Path, module: str, line: int | None) -> tuple[tuple[StepDeclaration, ...], list[Finding]]:
    """The declared steps, () where they cannot be judged; `line` is where flyball.toml names the module."""
    name = f"{module.replace('.', '/')}.py"
    try:
        source = (folder / name).read_bytes()
    except OSError as error:
        reason = (
            f"there is no {name} in {folder}" if isinstance(error, FileNotFoundError) else f"{name}: {error.strerror}"
        )
        message = f'{label(("pipeline", "module"))} "{module}": {reason}; write it, or name another module'
        return (), [Finding(file=SETTINGS, line=line, message=message)]
    steps, faults = read_steps(source)
    faults = faults or problems(steps)
    return () if faults else steps, [Finding(file=name, line=at, message=message) for at, message in faults]


def _fallbacks(values: Mapping[str, Any], steps: tuple[StepDeclaration, ...], module: str) -> list[Finding]:
    """Which step may fall back depends on which are the model's and the hold-out's."""
    wrong = fallback_problems(steps, model=values["pipeline"]["model"], holdout=holdout_step(values, steps))
    return [Finding(file=f"{module.replace('.', '/')}.py", line=line, message=message) for line, message in wrong]


def _beside_adopted(folder: Path, module: str, line: int | None) -> list[Finding]:
    """A pipeline that lies beside an adopted model would never run."""
    name = f"{module.replace('.', '/')}.py"
    if not (folder / name).exists():
        return []
    place = label(("model", "adopted"))
    message = f"{place}: there is a {name} too; take `adopted` out to train by it, or remove the file"
    return [Finding(file=SETTINGS, line=line, message=message)]


def _finding(problem: Problem, lines: Mapping[Place, int]) -> Finding:
    return Finding(file=SETTINGS, line=_line(lines, problem.path), message=str(problem))


def _line(lines: Mapping[Place, int], path: Place) -> int | None:
    """The line of the nearest thing that is written: a missing key is placed at its section."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _alone(line: int | None, message: str) -> ProjectError:
    return ProjectError((Finding(file=SETTINGS, line=line, message=message),))


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (finding.file, finding.line or 0)))

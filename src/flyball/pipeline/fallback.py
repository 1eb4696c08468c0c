"""The last good result of a step that has failed: which one may stand in for it, by what recipe it was made, its copy."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from flyball.pipeline.artifact import Artifact, is_intact
from flyball.pipeline.earlier import GoodStep
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import RunContext, Window
from flyball.pipeline.task import VALUE
from flyball.project.declared import source_of

if TYPE_CHECKING:
    from flyball.pipeline.graph import StepCall


def reaching(calls: Mapping[str, StepCall], name: str) -> frozenset[str]:
    """The step `name` and every step whose result reaches it."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting.extend(calls[step].inputs.values())
    return frozenset(found)


def recipes(
    calls: Mapping[str, StepCall], context: RunContext, *, sources: Mapping[str, bytes], module_file: str
) -> dict[str, str]:
    """Step -> digest of how it is made, of the user's steps: another digest means that its result may mean something else.

    Told are the text of the step and of those it is made of, what the module shares with them, the project's other files,
    and of parameters, column names and seed what they are given. What lies outside (packages, data) is not told.
    """
    others = {file: hashlib.sha256(text).hexdigest() for file, text in sources.items() if file != module_file}
    module = sources.get(module_file, b"")
    return {
        name: _recipe(name, calls, context, module=module, others=others)
        for name, call in calls.items()
        if ":" not in call.target
    }


def _recipe(
    name: str, calls: Mapping[str, StepCall], context: RunContext, *, module: bytes, others: Mapping[str, str]
) -> str:
    steps = [calls[step] for step in sorted(reaching(calls, name))]
    given = {item for call in steps for item in call.given}
    told: list[Any] = [
        source_of(module, {call.target for call in steps}),
        dict(others),
        [[call.name, call.target, dict(call.inputs), sorted(call.given), dict(call.constants)] for call in steps],
        dict(context.params) if given & {"params", "run"} else None,
        asdict(context.model) if "run" in given else None,
        context.seed,  # of the global generators too, whoever takes it
    ]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def obstacle(good: GoodStep, run: RunRecord, *, recipe: str | None, made_of: frozenset[str]) -> str | None:
    """Why an earlier run's result may not stand in for this run's; None: it may. `made_of`: the steps that reach it."""
    if good.decided_at > run.decided_at:
        return "decided later"
    if not _within(good.window, run.window):
        return "of rows outside this run's window"
    if good.recipe is not None and good.recipe != recipe:
        return "made by another recipe"
    if good.beside & made_of:
        return "made of a fallback itself"
    return None


def _within(window: Window, other: Window) -> bool:
    if window.end > other.end:
        return False
    return other.start is None or (window.start is not None and window.start >= other.start)


def last_good(
    made: Sequence[GoodStep], run: RunRecord, *, runs: Path, recipe: str | None, made_of: frozenset[str]
) -> tuple[GoodStep | None, str]:
    """The newest of the results that may stand in and is intact on disk; else why there is none.

    `made`: as `runs.made_before` gives it. `runs`: the folder of all runs.
    """
    reasons: Counter[str] = Counter()
    for good in made:
        reason = obstacle(good, run, recipe=recipe, made_of=made_of)
        if reason is None and not is_intact(good.artifact, runs / good.run):
            reason = "damaged or gone from disk"
        if reason is None:
            return good, ""
        reasons[reason] += 1
    said = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return None, f"{len(made)} earlier: {said}" if made else "no earlier run has made it"


def copy_result(good: GoodStep, folder: Path, *, runs: Path, root: Path) -> Artifact:
    """A copy in the step's own folder: the run stays whole by itself, whatever becomes of the earlier one."""
    draft = folder / f".{VALUE}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(runs / good.run / good.artifact.path, draft)
    draft.rename(folder / VALUE)
    return replace(good.artifact, path=(folder / VALUE).relative_to(root).as_posix())

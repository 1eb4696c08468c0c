"""What a candidate is judged on, and the verdict: the held-out rows both were scored on, and what was found of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flyball.loop import evidence
from flyball.loop.attempt import Attempt
from flyball.pipeline.artifact import Artifact
from flyball.registry import gate
from flyball.registry.records import RuleResult, Verdict
from flyball.registry.refit import with_refit


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows both are judged on, and what was found of them."""

    rows: gate.HeldOut
    #: who stood for the champion: 0 itself, 1 its gated twin, -1 nobody.
    stand_in: int = -1
    #: the verdict's lines about the rows themselves.
    checked: tuple[RuleResult, ...] = ()
    caveat: str | None = None


def held_out(attempt: Attempt, made: Mapping[str, Artifact], candidate: Mapping[str, Any]) -> Found:
    """What the step that scores has left; nothing where no rows are held out."""
    task = attempt.site.project.model.task
    if "deploy.score" not in made:
        return Found(rows=evidence.nothing_held_out(task))
    scores = attempt.value(made["deploy.score"])
    return Found(
        rows=evidence.held_out(task, scores),
        stand_in=int(scores["stand_in"][0]),
        checked=evidence.checked(scores, candidate, attempt.site.project.gate.allow_leak),
        caveat=evidence.left_out(scores, attempt.champion),
    )


def judge(attempt: Attempt, candidate: Mapping[str, Any], found: Found) -> Verdict:
    """The gate's verdict on the candidate, against the champion where there is one."""
    site, run, champion = attempt.site, attempt.run, attempt.champion
    occasion: gate.Occasion = "first"
    if champion is not None:
        same = champion.lineage.recipe_digest == attempt.recipe
        occasion = "refresh" if same else "change"
    question = gate.Question(
        model=site.model,
        run=run.id,
        occasion=occasion,
        champion=champion.number if champion else None,
        at=run.decided_at,
    )
    measured = _measured(attempt, candidate, occasion)
    verdict = gate.judge(question, site.project.gate, found.rows, measured, found.checked)
    return replace(verdict, caveat=found.caveat)


def judge_refit(attempt: Attempt, verdict: Verdict, refitted: Mapping[str, Any], agreed: Mapping[str, Any]) -> Verdict:
    """The verdict with what can be judged of the refitted model itself."""
    return with_refit(
        verdict,
        gate.rules_for(attempt.site.project.gate, verdict.occasion),
        _measured(attempt, refitted, verdict.occasion),
        task=attempt.site.project.model.task,
        disagreement=agreed["disagreement"],
    )


def _measured(attempt: Attempt, bundle: Mapping[str, Any], occasion: gate.Occasion) -> dict[str, float]:
    folder = attempt.site.home.runs / attempt.run.id / bundle["bundle"]
    project = attempt.site.project
    return evidence.measured(folder, gate.rules_for(project.gate, occasion), project)
